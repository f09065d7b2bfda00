"""Closed loops: the reference at both ends, the step map between them, and the step model fitted on it."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.level import LevelSpec, StepRow
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.plan import Outcome, worth_running
from engine.calibrate.protocol.state import Calibration, disturbance
from engine.calibrate.simulator import StepTime
from engine.calibrate.stand_in import stand_in
from engine.calibrate.step_model import FEWEST_LEVELS, StepModel, fit_levels
from engine.calibrate.warm_up import slower

SLOW = 0.10  # than another run of the same N
DRIFTED = 0.03  # so far off at the end, the reference is run again
DRIFT_REPEATS = 2

Level = TypeVar("Level", int, str)


def reference(run: Calibration) -> None:
    run.quiet(_reference_spec(run, "reference"))


def step_map(run: Calibration) -> None:
    """Closed loops in shuffled order, so that a slow drift does not look like an effect of N; each N once a pass.

    A black box is asked in ascending order: nobody knows how many it takes at once, so each level decides on the next.
    """
    seen: dict[int, Outcome] = {}
    rng = np.random.default_rng(run.ask.seed)
    for number in range(run.plan.passes):
        order = list(run.plan.ladder) if run.black_box else rng.permutation(run.plan.ladder).tolist()
        for concurrency in order:
            worth = concurrency in seen if number else worth_running(concurrency, seen, run.ask.slo)
            limit = run.plan.opening_s(concurrency, run.pace)
            if worth and run.time_for(concurrency * run.pace.prefill_s + run.plan.window_s):
                spec = run.bench.closed("step_map", concurrency, run.plan.window_s, limit)
                seen[concurrency] = _outcome(run.quiet(spec))


def step_model(run: Calibration) -> None:
    """Fit, judge, and where the model or the stand-in holds, simulate open loop to find λ*."""
    runs = _runs_by_concurrency(run.measured.purpose("step_map"))
    found = steady(runs)
    run.measured.fitted = tuple(level for levels in found.values() for level in levels)
    fitted = {level.spec.id for level in run.measured.fitted}
    left_out = [level for levels in runs.values() for level in levels if level.spec.id not in fitted]
    run.measured.slow = tuple(sorted(left_out, key=lambda level: level.started_at_s))
    if run.black_box:
        _stand_in(run)
    elif len(found) >= FEWEST_LEVELS:
        _fit(run, found)


def _fit(run: Calibration, runs: Mapping[int, Sequence[MeasuredLevel]]) -> None:
    fit = run.measured.fit = fit_levels(
        {"+".join(level.spec.id for level in levels): _steps(levels) for levels in runs.values()},
        _steps(run.measured.slow),
    )
    if fit.holds:
        run.bench.say(f"step model within {100 * (fit.mdape or 0):.1f} % of held-out levels; simulating open loop")
        _predict(run, [level.model.ms for level in fit.held_out], fit.unsteadiness, fit.mdape or 0.0)


def _stand_in(run: Calibration) -> None:
    """What shows the closed loops of a black box most alike, unless no rate can keep the limits there."""
    run.measured.infeasible = run.measured.misses_alone(run.ask.slo)
    if run.measured.infeasible:
        return
    longest = run.ask.workload.longest
    found = run.measured.stand_in = stand_in(
        run.measured.purpose("step_map"), longest.input + longest.output, run.bench.checkpoint
    )
    if found is not None and found.holds:
        run.bench.say(f"stand-in within {100 * found.error:.1f} % of the closed loops; simulating open loop")
        _predict(run, (), 0.0, found.error)


def _predict(run: Calibration, held_out: Sequence[StepTime], unsteadiness: float, error: float) -> None:
    replica = run.measured.replica
    if replica is None:
        return
    search = Search(replica.limits, run.ask.workload, run.ask.slo, run.ask.seed, checkpoint=run.bench.checkpoint)
    run.measured.max_rate = rate = max_rate(
        search, replica.step_ms, held_out, unsteadiness, run.saturation_per_s(), error=error
    )
    if rate.requests_per_s is not None:
        run.measured.simultaneous = search.simultaneous(replica.step_ms, rate.requests_per_s)


def reference_again(run: Calibration) -> None:
    """The first level once more, the same requests: what changed in between is drift.

    A machine that seems to have drifted is looked at again: a slow stretch passes, a drift stays.
    """
    run.reserved_s = 0.0
    for _ in range(1 + DRIFT_REPEATS):
        run.quiet(_reference_spec(run, "reference_again"))
        run.measured.drift = drift = _drift(run)
        if drift is None or abs(drift) <= DRIFTED or not run.time_for(2 * run.plan.reference_s):
            return


def _drift(run: Calibration) -> float | None:
    """By how much the least changed of the last references was slower than the first; None where others disturbed
    either."""
    references = [_undisturbed(run, purpose) for purpose in ("reference", "reference_again")]
    before = min(references[0], key=disturbance, default=None)
    found = [_slower(before, after) for after in references[1]] if before else []
    return min((drift for drift in found if drift is not None), key=abs, default=None)


def _slower(before: MeasuredLevel, after: MeasuredLevel) -> float | None:
    if before.log.steps and after.log.steps:
        return slower(before.quiet_steps, after.quiet_steps)
    if before.output_tokens_per_s and after.output_tokens_per_s:
        return before.output_tokens_per_s / after.output_tokens_per_s - 1
    return None


def _undisturbed(run: Calibration, purpose: str) -> list[MeasuredLevel]:
    """References during which nobody else used the CPU; others would pass a neighbour off as drift."""
    return [level for level in run.measured.purpose(purpose) if level.usable and not level.disturbed]


def _reference_spec(run: Calibration, purpose: str) -> LevelSpec:
    limit = run.plan.opening_s(run.plan.reference, run.pace)
    return run.bench.closed(purpose, run.plan.reference, run.plan.reference_s, limit, seed=run.ask.seed)


def _runs_by_concurrency(levels: Sequence[MeasuredLevel]) -> dict[int, list[MeasuredLevel]]:
    """By ascending N, the runs of which enough was quiet; of one that was repeated since it was not, one."""
    found: dict[int, list[MeasuredLevel]] = {}
    for level in sorted(levels, key=lambda level: level.spec.concurrency or 0):
        if level.usable and not level.disturbed:
            found.setdefault(level.spec.concurrency or 0, []).append(level)
    return found


def steady(runs: Mapping[Level, Sequence[MeasuredLevel]]) -> dict[Level, list[MeasuredLevel]]:
    """Of the runs at each N (or of each name), those that are not far slower than the fastest.

    A neighbour that is not seen (another guest of the same host) makes a machine slower by half for tens of seconds,
    and all of a level's steps with it. Small differences are the machine's own, and stay. The prompts and answers of
    two runs are not alike: a model of all runs evens their work out.
    """
    if not any(map(_steps, runs.values())):
        return {concurrency: list(levels) for concurrency, levels in runs.items()}  # of a black box
    model = fit_levels({str(concurrency): _steps(levels) for concurrency, levels in runs.items()}).model
    return {concurrency: _not_slow(levels, model) for concurrency, levels in runs.items()}


def _not_slow(levels: Sequence[MeasuredLevel], model: StepModel) -> list[MeasuredLevel]:
    slowness = [statistics.median(step.ms / model.of(step) for step in level.quiet_steps) for level in levels]
    return [level for level, slow in zip(levels, slowness, strict=True) if slow <= (1 + SLOW) * min(slowness)]


def _steps(levels: Sequence[MeasuredLevel]) -> list[StepRow]:
    return [step for level in levels for step in level.quiet_steps]


def _outcome(level: MeasuredLevel) -> Outcome:
    preempted = sum(step.preempted for step in level.log.steps)
    return Outcome(level.output_tokens_per_s, level.log.itl_gaps_ms.mean, preempted)
