"""What is stated of a machine that does not hold still, or is not ours alone: less, and with numbers."""

from collections.abc import Callable

import pytest

from engine.calibrate import bench
from engine.calibrate.__main__ import in_words
from engine.calibrate.contention import CpuUse
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.simulator import StepTime
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.config import SchedulerConfig
from tests.engine.calibrate.protocol_runs import ask, run

pytestmark = pytest.mark.usefixtures("few_simulated")


class Neighbours:
    """Watches a machine that others use in the first so many levels, a little at every moment."""

    def __init__(self, levels: int) -> None:
        self.left = levels

    def __call__(self, ours: tuple[int, ...]) -> "Neighbours":
        return self

    def __enter__(self) -> "Neighbours":
        return self

    def __exit__(self, *error: object) -> None:
        self.left -= 1

    def use(self) -> CpuUse:
        return CpuUse(0.0, 0.2 if self.left > 0 else 0.0)


@pytest.mark.parametrize(("levels", "stated"), [(4, True), (8, False)])
def test_no_rate_when_many_levels_were_contended(
    levels: int, stated: bool, limits: SchedulerConfig, truth: StepModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "CpuWatch", Neighbours(levels))
    monkeypatch.setattr(SimulatedTarget, "pids", lambda self: (1,))
    _, record, _ = run(SimulatedTarget(limits, truth.ms), ask())
    assert record.derived.no_rate_because == (None if stated else "contended")
    of_all = [flag for flag in record.flags if flag.code == "cpu_contended" and flag.level is None]
    assert [flag.value for flag in of_all] == ([] if stated else [levels / len(record.levels)])
    assert all(f"{levels} of {len(record.levels)} levels" in flag.message for flag in of_all)


class Moody(SimulatedTarget):
    """Everything takes `factor` times as long in the runs that are counted off, all of one purpose."""

    def __init__(self, limits: SchedulerConfig, step_ms: StepTime, purpose: str, runs: set[int], factor: float) -> None:
        super().__init__(limits, lambda *work: step_ms(*work) * self.factor)
        self.purpose, self.slow, self.slower_by = purpose, runs, factor
        self.factor = 1.0
        self.seen = 0

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        self.seen += spec.purpose == self.purpose
        self.factor = self.slower_by if spec.purpose == self.purpose and self.seen in self.slow else 1.0
        return super().run(spec, stopped, report)


def test_levels_of_a_slow_stretch_are_left_out_of_the_model(limits: SchedulerConfig, truth: StepModel) -> None:
    _, steady, _ = run(SimulatedTarget(limits, truth.ms), ask())
    measured, record, _ = run(Moody(limits, truth.ms, "step_map", {2, 3}, 1.5), ask())
    maps = measured.purpose("step_map")
    assert [level.spec.id for level in measured.slow] == [level.spec.id for level in maps[1:3]]
    assert record.derived.step_model is not None
    assert not {level.spec.id for level in measured.slow} & set(record.derived.step_model.levels)
    assert record.derived.step_model.mdape == pytest.approx(0.0, abs=1e-6)
    unsteady = [flag for flag in record.flags if flag.code == "unsteady"]
    assert unsteady[0].value == 2
    assert maps[1].spec.id in unsteady[0].message
    assert record.derived.max_rate is not None
    assert steady.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(steady.derived.max_rate.requests_per_s, rel=0.02)
    assert record.derived.max_rate.low < 0.97 * steady.derived.max_rate.low, "all that time counts as unsteadiness"


def test_no_rate_when_the_verification_is_far_off(limits: SchedulerConfig, truth: StepModel) -> None:
    _, record, _ = run(Moody(limits, truth.ms, "verification", {1}, 1.6), ask())
    assert (record.derived.max_rate, record.derived.no_rate_because) == (None, "model_misfit")
    flag = next(flag for flag in record.flags if flag.code == "not_verified")
    assert flag.value is not None
    assert flag.value > 0.25
    assert "so no rate is stated" in flag.message
    check = record.derived.verification
    assert check is not None
    mean = next(line for line in check.compared if line.metric == "tpot_mean_ms")
    assert f"mean TPOT {mean.measured:.4g} ms where {mean.predicted:.4g} ms were predicted" in flag.message


def test_a_wider_interval_and_another_grade_when_it_is_a_little_off(limits: SchedulerConfig, truth: StepModel) -> None:
    _, close, _ = run(SimulatedTarget(limits, truth.ms), ask())
    _, record, _ = run(Moody(limits, truth.ms, "verification", {1}, 1.12), ask())
    check, rate, before = record.derived.verification, record.derived.max_rate, close.derived.max_rate
    assert check is not None
    assert rate is not None
    assert before is not None
    assert 0.10 < check.worst < 0.25
    assert record.grade == ("C", f"predicted, one open-loop level is {100 * check.worst:.0f} % off")
    assert rate.requests_per_s == before.requests_per_s
    assert rate.low == pytest.approx(before.low / (1 + check.worst))
    assert rate.high == pytest.approx(before.high * (1 + check.worst))
    flag = next(flag for flag in record.flags if flag.code == "not_verified")
    assert (flag.value, flag.limit) == (check.worst, 0.1)
    assert "the interval is wider by as much" in flag.message


def test_a_rate_at_saturation_has_an_interval_and_says_at_least(limits: SchedulerConfig, truth: StepModel) -> None:
    _, record, _ = run(SimulatedTarget(limits, truth.ms), ask(Slo(1e6, 1e6)))
    rate, saturation = record.derived.max_rate, record.derived.saturation
    assert record.derived.binding == "saturation"
    assert rate is not None
    assert saturation is not None
    assert rate.low < 0.96 * rate.requests_per_s
    assert rate.high > 1.04 * rate.requests_per_s
    flag = next(flag for flag in record.flags if flag.code == "unresolved" and "no limit is crossed" in flag.message)
    assert flag.value == rate.requests_per_s
    assert f"{saturation.concurrency} at a time" in flag.message
    assert in_words(record).startswith("at least ")


def test_what_looked_like_drift_is_looked_at_again(limits: SchedulerConfig, truth: StepModel) -> None:
    passed = run(Moody(limits, truth.ms, "reference_again", {1}, 1.4), ask())[1]
    assert passed.derived.drift == pytest.approx(0, abs=0.001)
    assert [level.purpose for level in passed.levels].count("reference_again") == 2
    stayed = run(Moody(limits, truth.ms, "reference_again", {1, 2, 3}, 1.4), ask())[1]
    assert stayed.derived.no_rate_because == "void"
    assert stayed.derived.drift == pytest.approx(0.4, abs=0.01)
