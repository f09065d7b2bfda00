"""Open loop at and around λ*: measured, with fresh arrivals each time, and not only predicted.

bracket         a black box, or a step model that does not hold: rates from saturation down until one is inside the SLO
verification    five rates about the predicted or bracketed one, shuffled, twice each
replication     more runs around λ* until its interval is narrow enough, or the time is up
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engine.calibrate.capacity import CurvePoint, Search
from engine.calibrate.level import LevelSpec
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.metrics import nearest_rank, samples_needed
from engine.calibrate.plan import (
    SWEEP_RESERVE,
    SWEEP_RUNS,
    SWEEP_SHARES,
    SWEEP_WINDOW_S,
    SweepPlan,
    plan_sweep,
)
from engine.calibrate.protocol import prediction
from engine.calibrate.protocol.state import Calibration
from engine.calibrate.simulator import OpenLoad
from engine.calibrate.summary import latencies
from engine.calibrate.sweep_fit import SweepRun, sweep_fit
from engine.calibrate.sweep_runs import run_p95s
from engine.calibrate.workload import Workload

FILLED = 0.92  # of --max-minutes; the rest is room for a machine slower than it seemed
FIRST_SHARE = 0.75  # of saturation: where a bracket begins
STEP_DOWN, STEP_UP = 0.6, 1.2
MOST_BRACKETS = 7
BRACKET_WINDOW = 0.5  # of a run's window
FEWEST_NEAR = 6  # runs within 10 % of λ*
AROUND = (1.0, 0.97, 1.03)  # of λ*: where replication looks
BASE_SHARES = (0.94, 1.0, 1.06)  # of λ*: where the simulated curve is taken
RECENTERINGS = 3
STRESS_RUNS = 4
SHORT = (0.9, 1.0, 1.1)  # shares of a sweep that has little time


@dataclass(slots=True)
class Sweep:
    """The open-loop part of one calibration. `base` is the simulated curve about λ*, empty without a step model."""

    run: Calibration
    plan: SweepPlan | None = None
    center: float | None = None
    runs: list[SweepRun] = field(default_factory=list)
    base: tuple[CurvePoint, ...] = ()
    seeds: int = 0

    def measure(self, purpose: str, rate: float, window_share: float = 1.0) -> SweepRun:
        """One run at a rate, with arrivals and lengths of its own, and its twin in the simulator."""
        plan = self.plan or SweepPlan(0, SWEEP_WINDOW_S, 0)
        plan = replace(plan, window_s=max(plan.window_s * window_share, samples_needed(0.95) / rate))
        spec = self.spec(purpose, rate, plan, self.run.ask.workload)
        level = self.run.bench.run(spec, rate)
        twin = self._twin(level)
        found = SweepRun(
            level.spec.id,
            level.rate or rate,
            run_p95s(level),
            None if twin is None else run_p95s(twin),
            level.oversaturated,
        )
        self.runs.append(found)
        return found

    def spec(self, purpose: str, rate: float, plan: SweepPlan, workload: Workload) -> LevelSpec:
        """Arrivals go on in the tail, so that what is due late in the window is served under full load as well."""
        self.seeds += 1
        seed = 1000 * self.run.ask.seed + 500 + self.seeds
        load = OpenLoad.draw(workload, max(1, round(rate * plan.run_s)), [self.run.ask.seed, 500 + self.seeds])
        level = load.level(self.run.bench.next_id, purpose, seed, rate, 0, plan.tail_s)
        return replace(level, warm_in_s=plan.warm_in_s, window_s=plan.window_s)

    def _twin(self, level: MeasuredLevel) -> MeasuredLevel | None:
        replica = self.run.measured.replica
        if replica is None:
            return None
        return replace(level, log=replica.replay(level.spec, keep_steps=False), oversaturated=False)

    def fit(self) -> None:
        self.run.measured.sweep = sweep_fit(
            self.runs, self.base, self.run.ask.slo, self.run.ask.seed, self.run.saturation_per_s()
        )

    def simulate_base(self, center: float) -> None:
        """The simulated curve about a rate, from runs so long that they have no luck of their own."""
        ask, replica = self.run.ask, self.run.measured.replica
        if replica is not None:
            search = Search(
                replica.limits, ask.workload, ask.slo, ask.seed, long=True, checkpoint=self.run.bench.checkpoint
            )
            runs = len(search.loads)
            self.base = tuple(search.point(replica.step_ms, share * center, runs) for share in BASE_SHARES)

    def left_s(self) -> float:
        """Seconds that open-loop runs may still take."""
        bench, plan = self.run.bench, self.run.plan
        stress = STRESS_RUNS * self.plan.run_s if self.plan and self.run.ask.depth.stressed else 0.0
        return FILLED * bench.max_s - bench.elapsed_s - plan.reference_s - stress

    def plan_for(self, rate: float, service_s: float) -> tuple[float, ...]:
        """Plan the windows, and return the shares of the rate that there is time for; none when not even a few."""
        stress = STRESS_RUNS if self.run.ask.depth.stressed else 0
        for shares in (SWEEP_SHARES, SHORT):
            runs = SWEEP_RUNS * len(shares)
            self.plan = plan_sweep(
                min(shares) * rate, service_s, self.left_s(), runs + stress, fewest_requests=samples_needed(0.95)
            )
            if self.plan is not None:
                return shares
        return ()


def bracket(run: Calibration) -> None:
    """Where no model predicts λ*: from saturation down, or up, until one rate is inside the SLO and one is not."""
    sweep = run.sweep = Sweep(run)
    found = run.measured.max_rate
    if found is not None and not run.black_box:
        sweep.center = found.requests_per_s
        return
    saturation = run.saturation_per_s()
    run.measured.infeasible = run.measured.misses_alone(run.ask.slo)
    if not saturation or run.measured.infeasible:
        return
    if found is not None and found.requests_per_s is not None:
        sweep.center = found.requests_per_s
        return
    rate = FIRST_SHARE * saturation
    if not sweep.plan_for(rate, _alone_s(run)):
        return
    for _ in range(MOST_BRACKETS):
        if sweep.plan is None or sweep.left_s() < sweep.plan.run_s:
            break
        run.measured.sweep_window_s = sweep.plan.window_s
        sweep.measure("bracket", rate, BRACKET_WINDOW)
        sweep.fit()
        fit = run.measured.sweep
        if fit is None or fit.requests_per_s is None:
            rate = STEP_DOWN * min(done.rate for done in sweep.runs)
        elif fit.above:
            rate = STEP_UP * max(done.rate for done in sweep.runs)
        else:
            sweep.center = fit.requests_per_s
            return


def _alone_s(run: Calibration) -> float:
    """How long a request takes when a few others run beside it, roughly."""
    return 2 * run.pace.request_s(run.ask.workload)


def verification(run: Calibration) -> None:
    """Rates about the predicted one, shuffled, with fresh arrivals each; where time is short, one level as in quick."""
    sweep = run.sweep
    shares = () if sweep.center is None else sweep.plan_for(sweep.center, _service_s(run, sweep.center))
    if not shares or sweep.center is None or sweep.plan is None:
        prediction.verification(run)
        return
    if sweep.plan.window_s < SWEEP_WINDOW_S:
        run.bench.say(f"--max-minutes is short: windows of {sweep.plan.window_s:.0f} s instead of {SWEEP_WINDOW_S:.0f}")
    run.measured.sweep_window_s = sweep.plan.window_s
    _expect(sweep, SWEEP_RUNS * len(shares))
    order = np.random.default_rng([run.ask.seed, 5]).permutation(list(shares) * SWEEP_RUNS)
    for share in order.tolist():
        if sweep.left_s() < sweep.plan.run_s:
            break
        sweep.measure("verification", share * sweep.center)
    if sweep.runs:
        _fit_around(sweep, sweep.center)


def _expect(sweep: Sweep, runs: int) -> None:
    """So many runs are known to come, and what follows them."""
    bench, seconds = sweep.run.bench, sweep.plan.run_s if sweep.plan else 0.0
    runs += STRESS_RUNS if sweep.run.ask.depth.stressed else 0
    bench.expected_s = min(bench.max_s, bench.elapsed_s + SWEEP_RESERVE * runs * seconds + sweep.run.plan.reference_s)


def _service_s(run: Calibration, rate: float) -> float:
    """How long requests take at a rate: by Little's law from the simulated number of them, or as the bracket saw."""
    if run.measured.simultaneous is not None:
        return run.measured.simultaneous / rate
    seen = [latencies(level)["e2e"] for level in run.measured.purpose("bracket") if not level.oversaturated]
    slowest = max((nearest_rank(values, 0.95) for values in seen if values), default=0.0)
    return slowest / 1000 or _alone_s(run)


def _fit_around(sweep: Sweep, center: float) -> None:
    """Fit, with the simulated curve taken about the rate that comes out: first the prediction's, then a longer one."""
    predicted = sweep.run.measured.max_rate
    if predicted is not None:
        most = max(len(point.ttft_p95_ms) for point in predicted.curve)
        sweep.base = tuple(point for point in predicted.curve if len(point.ttft_p95_ms) == most)
    sweep.fit()
    fit = sweep.run.measured.sweep
    if sweep.run.measured.replica is None or fit is None:
        return
    center = fit.requests_per_s or center
    for _ in range(RECENTERINGS):
        sweep.simulate_base(center)
        sweep.fit()
        fit = sweep.run.measured.sweep
        if fit is None:
            return
        if fit.requests_per_s is None:
            center = center * min(BASE_SHARES)
        elif fit.above:
            center = center * max(BASE_SHARES)
        else:
            return


def replication(run: Calibration) -> None:
    """Runs around λ* until six are near it and its interval is narrow, or the time or the runs are used up."""
    sweep, depth = run.sweep, run.ask.depth
    if sweep.plan is None or not sweep.runs or sweep.center is None:
        return
    for number in range(depth.most_runs - len(sweep.runs)):
        fit = run.measured.sweep
        if fit is None or (fit.half_width <= depth.half_width and fit.near >= FEWEST_NEAR):
            break
        if sweep.left_s() < sweep.plan.run_s:
            break
        _expect(sweep, 1)
        sweep.measure("replication", _next_rate(sweep.runs, fit.requests_per_s, fit.above, number))
        _fit_around(sweep, fit.requests_per_s or sweep.center) if _outside(sweep) else sweep.fit()
    _predict_nearest(sweep)


def _next_rate(runs: Sequence[SweepRun], root: float | None, above: bool, number: int) -> float:
    if root is None:
        return STEP_DOWN * min(run.rate for run in runs)
    highest = max(run.rate for run in runs)
    if above and math.isclose(root, highest):
        return STEP_UP * highest
    return AROUND[number % len(AROUND)] * root


def _outside(sweep: Sweep) -> bool:
    """Whether λ* has left the rates that were simulated."""
    fit = sweep.run.measured.sweep
    return bool(sweep.base) and (fit is None or fit.requests_per_s is None or fit.above)


def _predict_nearest(sweep: Sweep) -> None:
    """Beside the run nearest to λ_plan, its twin with every step, to be compared in the record."""
    fit, replica = sweep.run.measured.sweep, sweep.run.measured.replica
    if fit is None or fit.low is None or replica is None:
        return
    plan_rate = fit.low
    nearest = min(
        (done for done in sweep.runs if not done.oversaturated), key=lambda d: abs(d.rate - plan_rate), default=None
    )
    if nearest is not None:
        level = next(level for level in sweep.run.measured.levels if level.spec.id == nearest.level)
        sweep.run.measured.predicted = replace(level, log=replica.replay(level.spec, keep_steps=True))
