"""Closed loops: the reference at both ends, the step map between them, and the step model fitted on it."""

from collections.abc import Sequence

import numpy as np

from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.level import LevelSpec
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.plan import Outcome, worth_running
from engine.calibrate.protocol.state import Calibration, disturbance
from engine.calibrate.step_model import FEWEST_LEVELS, fit_levels
from engine.calibrate.warm_up import slower


def reference(run: Calibration) -> None:
    run.quiet(_reference_spec(run, "reference"))


def step_map(run: Calibration) -> None:
    """Closed loops in shuffled order, so that a slow drift does not look like an effect of N.

    A black box is asked in ascending order: nobody knows how many it takes at once, so each level decides on the next.
    """
    seen: dict[int, Outcome] = {}
    order = run.plan.ladder
    if not run.black_box:
        order = tuple(np.random.default_rng(run.ask.seed).permutation(order).tolist())
    for concurrency in order:
        limit = run.plan.opening_s(concurrency, run.pace)
        expected = concurrency * run.pace.prefill_s + run.plan.window_s
        if worth_running(concurrency, seen, run.ask.slo) and run.time_for(expected):
            spec = run.bench.closed("step_map", concurrency, run.plan.window_s, limit)
            seen[concurrency] = _outcome(run.quiet(spec))


def step_model(run: Calibration) -> None:
    """Fit, judge on held-out levels, and where the model holds, simulate open loop to find λ*."""
    run.measured.fitted = _fitted(run.measured.purpose("step_map"))
    if len(run.measured.fitted) < FEWEST_LEVELS or run.black_box:
        return
    fit = run.measured.fit = fit_levels({level.spec.id: level.quiet_steps for level in run.measured.fitted})
    if not fit.holds:
        return
    run.bench.say(f"step model within {100 * (fit.mdape or 0):.1f} % of held-out levels; simulating open loop")
    search = Search(run.facts.limits, run.ask.workload, run.ask.slo, run.ask.seed, checkpoint=run.bench.checkpoint)
    run.measured.max_rate = found = max_rate(
        search, fit.model.ms, [level.model.ms for level in fit.held_out], fit.unsteadiness, run.saturation_per_s()
    )
    if found.requests_per_s is not None:
        run.measured.simultaneous = search.simultaneous(fit.model.ms, found.requests_per_s)


def reference_again(run: Calibration) -> None:
    """The first level once more, the same requests: what changed in between is drift."""
    run.reserved_s = 0.0
    run.quiet(_reference_spec(run, "reference_again"))
    before, after = (_undisturbed(run, purpose) for purpose in ("reference", "reference_again"))
    if before is None or after is None:
        return
    if before.log.steps and after.log.steps:
        run.measured.drift = slower(before.quiet_steps, after.quiet_steps)
    elif before.output_tokens_per_s and after.output_tokens_per_s:
        run.measured.drift = before.output_tokens_per_s / after.output_tokens_per_s - 1


def _undisturbed(run: Calibration, purpose: str) -> MeasuredLevel | None:
    """A reference during which nobody else used the CPU; another would pass a neighbour off as drift."""
    levels = (level for level in run.measured.purpose(purpose) if level.usable and not level.disturbed)
    return min(levels, key=disturbance, default=None)


def _reference_spec(run: Calibration, purpose: str) -> LevelSpec:
    limit = run.plan.opening_s(run.plan.reference, run.pace)
    return run.bench.closed(purpose, run.plan.reference, run.plan.reference_s, limit, seed=run.ask.seed)


def _fitted(levels: Sequence[MeasuredLevel]) -> tuple[MeasuredLevel, ...]:
    """For each N the level that was disturbed least, if enough of it was quiet."""
    best: dict[int | None, MeasuredLevel] = {}
    for level in sorted(levels, key=disturbance):
        if level.usable and not level.disturbed:
            best.setdefault(level.spec.concurrency, level)
    return tuple(sorted(best.values(), key=lambda level: level.spec.concurrency or 0))


def _outcome(level: MeasuredLevel) -> Outcome:
    preempted = sum(step.preempted for step in level.log.steps)
    return Outcome(level.output_tokens_per_s, level.log.itl_gaps_ms.mean, preempted)
