"""The whole protocol on a simulated server: what it finds, what it refuses to say, what it keeps when stopped."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.calibrate import bench
from engine.calibrate.contention import CpuUse
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.protocol import Ask
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets import TargetError
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.workload import Lengths, Workload, workload_fixed
from engine.config import SchedulerConfig
from engine.errors import InputError
from tests.engine.calibrate.protocol_runs import ask, codes, noisy, run

pytestmark = pytest.mark.usefixtures("few_simulated")


def test_a_known_server_is_found_and_verified(limits: SchedulerConfig, truth: StepModel) -> None:
    measured, record, lines = run(SimulatedTarget(limits, noisy(truth.ms, 0.03)), ask())
    assert record.complete
    assert list(dict.fromkeys(phase for phase, *_ in lines)) == [
        "preflight", "load", "warm_up", "reference", "step_map", "step_model", "verification", "reference_again",
    ]  # fmt: skip
    percents = [percent for _, percent, *_ in lines]
    assert percents == sorted(percents)
    assert percents[-1] <= 99
    assert measured.fit is not None
    assert measured.fit.model.ms(4, 0, 840, 0) == pytest.approx(truth.ms(4, 0, 840, 0), rel=0.02)
    assert record.derived.step_model is not None
    assert record.derived.step_model.mape == pytest.approx(0.024, abs=0.008), "the noise's own error"
    rate = record.derived.max_rate
    assert rate is not None
    assert record.derived.saturation is not None
    assert 0.2 < rate.requests_per_s / record.derived.saturation.requests_per_s < 0.95
    assert rate.low < rate.requests_per_s < rate.high
    check = record.derived.verification
    assert check is not None
    assert check.agrees
    assert check.requests >= 59
    shown = {line.metric: line for line in check.compared}
    for metric in ("ttft_mean_ms", "tpot_mean_ms", "output_tokens_per_s"):
        assert abs(shown[metric].deviation) < 0.02
    assert shown["ttft_p95_ms"].n >= 59
    assert record.derived.drift == pytest.approx(0, abs=0.02)
    assert record.grade == ("B", "predicted, one open-loop level agrees")
    assert not codes(record) & {"model_misfit", "not_verified", "drift", "few_samples", "osl_mismatch"}


def test_the_step_map_is_shuffled_and_each_level_has_its_own_seed(limits: SchedulerConfig, truth: StepModel) -> None:
    measured, _, _ = run(SimulatedTarget(limits, truth.ms), ask())
    levels = [level.spec for level in measured.purpose("step_map")]
    order = [spec.concurrency or 0 for spec in levels]
    assert sorted(order[:6]) == sorted(order[6:]) == [1, 2, 4, 8, 16, 32], "each once a pass"
    assert sorted(order[:6]) != order[:6] != order[6:]
    assert len({spec.seed for spec in levels}) == len(levels)
    first, again = measured.purpose("reference")[0].spec, measured.purpose("reference_again")[0].spec
    assert (first.seed, first.lengths) == (again.seed, again.lengths)


class Crowd:
    """Watches a machine half of which somebody else uses all the time."""

    def __init__(self, ours: tuple[int, ...]) -> None:
        self.ours = ours

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def use(self) -> CpuUse:
        return CpuUse(0.0, 0.5, ((0.0, float("inf")),))


def test_a_machine_that_others_use_is_no_evidence(
    limits: SchedulerConfig, truth: StepModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "CpuWatch", Crowd)
    monkeypatch.setattr(SimulatedTarget, "pids", lambda self: (1,))
    _, record, _ = run(SimulatedTarget(limits, truth.ms), ask())
    assert record.derived.no_rate_because == "contended"
    assert record.grade.letter is None
    assert "cpu_contended" in codes(record)


def test_mixed_lengths_are_drawn_jointly(limits: SchedulerConfig, truth: StepModel) -> None:
    mix = Workload("mix", (Lengths(400, 4), Lengths(20, 20)), (1.0, 1.0))
    measured, record, _ = run(SimulatedTarget(limits, truth.ms), ask(workload=mix))
    rows = [row for level in measured.levels for row in level.log.requests if not row.starter]
    assert {(row.input, row.asked) for row in rows} == {(400, 4), (20, 20)}
    assert record.workload.mix is not None
    assert record.achieved.mean_output_tokens == pytest.approx(12, abs=2)
    assert record.derived.max_rate is not None


def test_no_rate_where_a_lone_request_misses(limits: SchedulerConfig, truth: StepModel) -> None:
    _, record, _ = run(SimulatedTarget(limits, truth.ms), ask(Slo(400, 15)))
    derived = record.derived
    assert (derived.max_rate, derived.no_rate_because, derived.binding) == (None, "slo_unreachable", "tpot_p95_ms")
    assert derived.alone_tpot_p95_ms is not None
    assert derived.alone_tpot_p95_ms > 15
    assert derived.saturation is not None, "what was measured is still there"
    assert derived.verification is not None, "and the model was still put to the test"


def test_no_rate_from_a_model_that_does_not_hold(limits: SchedulerConfig, truth: StepModel) -> None:
    crooked = run(SimulatedTarget(limits, lambda *work: truth.ms(*work) ** 2 / 30), ask())[1]
    assert crooked.derived.max_rate is None
    assert crooked.derived.no_rate_because == "model_misfit"
    assert crooked.derived.saturation is not None
    assert {"model_misfit", "closed_loop_only", "not_verified"} <= codes(crooked)
    flag = next(flag for flag in crooked.flags if flag.code == "model_misfit")
    assert flag.value is not None
    assert flag.value > (flag.limit or 0) == 0.08
    assert crooked.grade.letter == "D"


def drifting(truth: StepModel, per_s: float) -> SimulatedTarget:
    def step_ms(*work: int) -> float:
        return truth.ms(*work) * (1 + per_s * target.clock())

    target = SimulatedTarget(SchedulerConfig(max_batch=32, num_blocks=4096, max_model_len=4096), step_ms)
    return target


def test_drift_is_flagged_and_too_much_of_it_is_void(truth: StepModel) -> None:
    _, flagged, _ = run(drifting(truth, 0.0008), ask())
    assert flagged.derived.drift == pytest.approx(0.05, abs=0.02)
    assert "drift" in codes(flagged)
    assert flagged.derived.max_rate is not None
    _, void, _ = run(drifting(truth, 0.003), ask())
    assert void.derived.drift is not None
    assert void.derived.drift > 0.08
    assert void.derived.max_rate is None
    assert void.grade.letter is None


def test_stopped_in_the_step_map_keeps_the_levels_before(limits: SchedulerConfig, truth: StepModel) -> None:
    measured, record, _ = run(
        SimulatedTarget(limits, truth.ms), ask(), lambda lines: any(phase == "step_map" for phase, *_ in lines[:-20])
    )
    assert not measured.complete
    assert not record.complete
    assert record.derived.no_rate_because == "incomplete"
    assert any(level.complete and level.output_tokens for level in record.levels)
    assert [level.complete for level in record.levels].count(False) <= 1
    assert "incomplete" in codes(record)
    assert record.grade.letter is None


def test_the_bound_of_the_whole_run_holds(limits: SchedulerConfig, truth: StepModel) -> None:
    target = SimulatedTarget(limits, truth.ms)
    run(target, ask(max_minutes=2.0))
    assert target.clock() < 0.85 * 120
    overloaded = drifting(truth, 5.0)  # a hundred times slower within 20 s, long after it was planned
    measured, record, _ = run(overloaded, ask(max_minutes=0.5))
    assert overloaded.clock() < 30 + 10, "one step may be running when the time is up"
    assert not record.complete
    assert not measured.complete


class Forgetful(SimulatedTarget):
    """Greedy tokens that differ each time."""

    def generate(self, prompts: Any, max_tokens: int) -> list[list[int]]:
        self.backend.wait_until(self.clock() + 1)
        return [[int(self.clock())] * max_tokens for _ in prompts]


def test_an_engine_that_does_not_repeat_itself_is_not_measured(limits: SchedulerConfig, truth: StepModel) -> None:
    with pytest.raises(TargetError, match="different greedy tokens the second time, alone"):
        run(Forgetful(limits, truth.ms), ask())


class Tracked(SimulatedTarget):
    closed = False

    def close(self) -> None:
        self.closed = True

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        if spec.purpose == "step_map":
            raise TargetError("it broke")
        return super().run(spec, stopped, report)


def test_the_target_is_closed_when_it_breaks(limits: SchedulerConfig, truth: StepModel) -> None:
    target = Tracked(limits, truth.ms)
    with pytest.raises(TargetError, match="it broke"):
        run(target, ask())
    assert target.closed


FEW_ROWS = SchedulerConfig(max_batch=2, num_blocks=4096, max_model_len=4096)
SHORT = SchedulerConfig(max_batch=32, num_blocks=4096, max_model_len=256)


@pytest.mark.parametrize(
    ("asked", "limits_given", "message"),
    [
        (ask(workload=workload_fixed(4090, 10)), None, "1 of 1 lengths exceed the model's 4096 tokens"),
        (ask(workload=workload_fixed(300, 10)), SHORT, "exceed the model's 256 tokens"),
        (ask(), FEW_ROWS, "raise --max-minutes"),
        (ask(max_minutes=0.05), None, "one request takes"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    asked: Ask, limits_given: SchedulerConfig | None, message: str, limits: SchedulerConfig, truth: StepModel
) -> None:
    with pytest.raises(InputError, match=message):
        run(SimulatedTarget(limits_given or limits, truth.ms), asked)
