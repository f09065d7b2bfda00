"""What stands in for a server that shows no iterations: does it behave like it where it was not looked at?"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.calibrate.contention import CpuUse
from engine.calibrate.level import LevelSpec
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.simulator import OpenLoad, StepTime, simulate
from engine.calibrate.stand_in import stand_in
from engine.calibrate.step_model import StepModel
from engine.calibrate.sweep_runs import run_p95s
from engine.calibrate.truth import MIX
from engine.config import SchedulerConfig

LONGEST = 640


def closed(concurrency: int, seed: int) -> LevelSpec:
    lengths = MIX.sample(256, np.random.default_rng(seed))
    return LevelSpec(f"L{seed}", "step_map", seed, lengths, 8.0, 1e6, concurrency=concurrency)


def seen(limits: SchedulerConfig, step_ms: StepTime, spec: LevelSpec) -> MeasuredLevel:
    """Of a level, only what a client sees of it."""
    return MeasuredLevel(
        spec, replace(simulate(limits, step_ms, spec, remote=True), steps=[]), 0.0, CpuUse(), rate=None
    )


def levels(limits: SchedulerConfig, step_ms: StepTime, ladder: Sequence[int]) -> list[MeasuredLevel]:
    return [seen(limits, step_ms, closed(many, number)) for number, many in enumerate(ladder, start=1)]


def test_it_shows_the_same_closed_loops_and_open_ones_it_was_not_fitted_to(
    limits: SchedulerConfig, truth: StepModel
) -> None:
    found = stand_in(levels(limits, truth.ms, (1, 2, 4, 8, 16, 32)), LONGEST)
    assert found is not None
    assert found.holds
    assert found.error < 0.05
    load = OpenLoad.draw(MIX, 400, 5).level("open", "", 0, 3.6, 40, 1e6)
    real = run_p95s(seen(limits, truth.ms, load))
    shown = run_p95s(seen(found.limits, found.model.ms, load))
    assert shown["tpot_p95_ms"] == pytest.approx(real["tpot_p95_ms"], rel=0.1)
    assert shown["ttft_p95_ms"] == pytest.approx(real["ttft_p95_ms"], rel=0.25)


def test_how_many_run_at_once_is_found_as_well(limits: SchedulerConfig, truth: StepModel) -> None:
    """Eight rows, loaded with up to 32: who does not run waits, which long steps can't look like."""
    found = stand_in(levels(replace(limits, max_batch=8), truth.ms, (1, 2, 4, 8, 16, 32)), LONGEST)
    assert found is not None
    assert found.limits.max_batch == 8
    assert found.error < 0.1


def test_the_same_levels_give_the_same_stand_in(limits: SchedulerConfig, truth: StepModel) -> None:
    same = levels(limits, truth.ms, (1, 2, 4))
    assert stand_in(same, LONGEST) == stand_in(list(reversed(same)), LONGEST)


def test_a_server_without_rhyme_or_reason_has_none_that_holds(limits: SchedulerConfig, truth: StepModel) -> None:
    """Twice as slow with two at a time, and with eight, as with one, four and sixteen."""
    slow = truth.stretched(2.5, 2.5)
    odd = [seen(limits, (slow if many in (2, 8) else truth).ms, closed(many, many)) for many in (1, 2, 4, 8, 16)]
    found = stand_in(odd, LONGEST)
    assert found is not None
    assert not found.holds


def test_two_levels_are_too_few(limits: SchedulerConfig, truth: StepModel) -> None:
    assert stand_in(levels(limits, truth.ms, (1, 2)), LONGEST) is None
