"""The standard and careful tiers on simulated servers: what they measure, and what they do when they can't."""

from pathlib import Path
from typing import Any

import pytest

from engine.calibrate import truth as truths
from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.measured import Measured
from engine.calibrate.protocol import Ask, TierName, calibrate
from engine.calibrate.record import Record
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.truth import SHAPE
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig

pytestmark = pytest.mark.usefixtures("few_simulated")

SERVED = workload_fixed(200, 10)
LIMITED = Slo(400, 45)


def run(
    target: SimulatedTarget, slo: Slo = LIMITED, tier: TierName = "standard", max_minutes: float = 20.0
) -> tuple[Measured, Record, list[Any]]:
    lines: list[Any] = []
    ask = Ask(SHAPE, SERVED, slo, seed=3, max_minutes=max_minutes, tier=tier)
    measured = calibrate(ask, target, lambda: False, lambda *line: lines.append(line))
    _, raw = raw_rows(measured, "record.raw.jsonl.gz")
    return measured, record_of(ask, measured, Path("m"), dummy_weights=True, raw=raw), lines


def codes(record: Record) -> set[str]:
    return {flag.code for flag in record.flags}


def test_standard_measures_what_quick_predicts(limits: SchedulerConfig, truth: StepModel) -> None:
    target = SimulatedTarget(limits, truths.noisy(truth.ms, 3))
    measured, record, lines = run(target)
    assert target.clock() < 20 * 60
    rate, sweep = record.derived.max_rate, record.derived.sweep
    assert rate is not None
    assert sweep is not None
    assert rate.method == "measured"
    assert sweep.method == "twins"
    assert sweep.half_width is not None
    assert sweep.half_width <= 0.05
    assert sweep.runs_near >= 6
    assert record.grade.letter == "A"
    assert record.tier == "standard"
    assert sweep.predicted is not None
    assert rate.requests_per_s == pytest.approx(sweep.predicted.requests_per_s, rel=0.08)
    runs = measured.purpose("verification")
    assert len(runs) == 10
    assert len({level.spec.seed for level in runs}) == 10
    offered = [level.rate or 0 for level in runs]
    assert offered != sorted(offered)
    assert sorted({round(r / sweep.predicted.requests_per_s, 2) for r in offered}) == [0.8, 0.95, 1.0, 1.05, 1.2]
    assert all(level.spec.window_s == pytest.approx(60) for level in runs)
    assert record.derived.verification is not None
    assert record.derived.verification.agrees
    percents = [percent for _, percent, *_ in lines]
    assert percents == sorted(percents)
    assert not codes(record) & {"few_samples", "unresolved", "not_verified", "model_misfit"}


def test_short_of_time_windows_are_shorter_and_that_is_said(limits: SchedulerConfig, truth: StepModel) -> None:
    _, record, lines = run(SimulatedTarget(limits, truth.ms), max_minutes=5)
    sweep = record.derived.sweep
    assert sweep is not None
    assert sweep.window_s < 60
    flag = next(flag for flag in record.flags if flag.code == "few_samples")
    assert (flag.value, flag.limit) == (sweep.window_s, 60)
    assert any("--max-minutes is short" in message for _, _, message, _ in lines)


def test_far_too_short_of_time_is_a_prediction(limits: SchedulerConfig, truth: StepModel) -> None:
    _, record, _ = run(SimulatedTarget(limits, truth.ms), max_minutes=1)
    assert record.derived.sweep is None
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.method == "simulated"
    assert record.grade.letter == "B"


def test_a_model_that_does_not_hold_is_no_end(limits: SchedulerConfig, truth: StepModel) -> None:
    """The rates are bracketed then, and the curve goes through the runs alone."""
    crooked = SimulatedTarget(limits, lambda *work: truth.ms(*work) ** 2 / 30)
    measured, record, _ = run(crooked, max_minutes=25)
    assert measured.fit is not None
    assert not measured.fit.holds
    assert measured.purpose("bracket")
    sweep, rate = record.derived.sweep, record.derived.max_rate
    assert sweep is not None
    assert sweep.method == "isotonic"
    assert sweep.predicted is None
    assert rate is not None
    inside = [p for p in sweep.points if p.requests_per_s < 0.9 * rate.requests_per_s]
    highest = sweep.points[-1]
    assert inside
    assert all(p.ttft_p95_ms < 400 and p.tpot_p95_ms < 45 for p in inside)
    assert highest.ttft_p95_ms > 400 or highest.tpot_p95_ms > 45
    assert "model_misfit" in codes(record)
    assert "closed_loop_only" not in codes(record)


def test_a_black_box_is_measured_without_any_step(limits: SchedulerConfig, truth: StepModel) -> None:
    seen = truths.BlackBox(limits, truth.ms)
    measured, record, _ = run(seen, max_minutes=25)
    known = run(SimulatedTarget(limits, truth.ms))[1]
    assert measured.fit is None
    assert record.derived.step_model is None
    assert record.smoke is None
    assert record.engine.num_blocks is None
    assert record.hardware.device == "unknown"
    assert record.hardware.cpu is None
    rate, other = record.derived.max_rate, known.derived.max_rate
    assert rate is not None
    assert other is not None
    assert rate.method == "measured"
    assert record.derived.sweep is not None
    assert record.derived.sweep.method == "stand_in"
    assert record.derived.stand_in is not None
    assert record.derived.stand_in.used
    assert record.derived.stand_in.error < 0.05
    assert rate.requests_per_s == pytest.approx(other.requests_per_s, rel=0.04)
    assert rate.low <= other.high
    assert other.low <= rate.high
    assert record.derived.drift == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("tier", ["quick", "standard"])
@pytest.mark.parametrize("black_box", [True, False])
def test_infeasible_limits_are_named_with_what_would_do(
    black_box: bool, tier: TierName, limits: SchedulerConfig, truth: StepModel
) -> None:
    kind = truths.BlackBox if black_box else SimulatedTarget
    _, record, _ = run(kind(limits, truth.ms), slo=Slo(400, 15), tier=tier)
    derived = record.derived
    assert (derived.max_rate, derived.no_rate_because, derived.binding) == (None, "slo_unreachable", "tpot_p95_ms")
    assert derived.alone_tpot_p95_ms == pytest.approx(truth.ms(1, 0, 205, 0), rel=0.05)
    assert derived.alone_ttft_p95_ms is not None
    assert 0 < derived.alone_ttft_p95_ms < 400
    # A little above them some rate does. A black box has to find it by sending: at a rate so low that hardly any two
    # requests meet, a run in the time there is has fewer than the 59 requests of a p95.
    looser = 1.3 if black_box else 1.1
    limits_above = Slo(looser * derived.alone_ttft_p95_ms, looser * (derived.alone_tpot_p95_ms or 0))
    feasible = run(kind(limits, truth.ms), slo=limits_above, tier=tier)[1]
    assert feasible.derived.max_rate is not None


def test_a_box_that_keeps_its_limits_at_low_rates_only_has_a_rate(limits: SchedulerConfig, truth: StepModel) -> None:
    """A lone request is inside both limits, two that meet are not: far below what closed loops reached."""
    _, record, _ = run(truths.BlackBox(limits, truth.ms), slo=Slo(70, 35))
    known = run(SimulatedTarget(limits, truth.ms), slo=Slo(70, 35))[1].derived.max_rate
    assert record.derived.alone_ttft_p95_ms is not None
    assert record.derived.alone_ttft_p95_ms < 60
    assert record.derived.max_rate is not None
    assert known is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(known.requests_per_s, rel=0.3)


def test_careful_adds_bursty_levels_at_the_rate_to_plan_with(limits: SchedulerConfig, truth: StepModel) -> None:
    measured, record, _ = run(SimulatedTarget(limits, truths.noisy(truth.ms, 1)), tier="careful", max_minutes=25)
    bursty = [level for level in record.levels if level.purpose == "bursty"]
    assert len(bursty) == 2
    assert {level.burstiness for level in bursty} == {0.5}
    assert record.derived.max_rate is not None
    assert bursty[0].offered_requests_per_s == pytest.approx(record.derived.max_rate.low)
    assert record.derived.sweep is not None
    sharing = [level for level in record.levels if level.purpose == "prefix_sharing"]
    assert len(sharing) == 2
    assert sharing[0].prefix_hit_share == pytest.approx(0.5, abs=0.1)
    assert record.achieved.prefix_hit_share == 0
    assert "prefix_hits" not in codes(record)
    assert len(measured.purpose("replication")) + 10 == record.derived.sweep.runs
    assert measured.complete
