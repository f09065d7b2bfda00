"""The largest open-loop rate inside an SLO, λ*, from a step model and the simulator, with its interval.

The same requests are sent at every rate, so that p95 TTFT and p95 TPOT change smoothly with the rate; a monotone curve
is fitted through each (pool adjacent violators), and λ* is where the first of them crosses its limit.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from engine.calibrate.level import StepRow
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.simulator import OpenLoad, StepTime, simulate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import FEWEST_LEVELS
from engine.calibrate.workload import Workload
from engine.config import SchedulerConfig

Metric = Literal["ttft_p95_ms", "tpot_p95_ms"]
Binding = Literal["ttft_p95_ms", "tpot_p95_ms", "saturation"]

METRICS: tuple[Metric, ...] = ("ttft_p95_ms", "tpot_p95_ms")
COARSE_SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)  # of saturation, one run; 0 is every request alone
FINE_SHARES = (0.75, 0.87, 1.0, 1.15, 1.3)  # of the root found on the coarse rates, all runs
RECENTERINGS = 3
ALONE = 1e-6  # requests per second that never meet
RUNS = 8
MOST_REQUESTS = 1200  # a run; fewer when outputs are long
LEAST_REQUESTS = 250
TOKENS_PER_RUN = 250_000
LONG_RUN = 6  # times as many requests, where their own luck must not show beside what was measured,
MOST_LONG_TOKENS = 400_000  # and no more tokens than these, for the time it takes
WARM_IN_SHARE = 0.1
SATURATION_KNOWN = 0.05  # windows of seconds know the rate of a full replica no better
# Student's t, 97.5 %, by degrees of freedom; the normal value from 30 on.
T_975 = {2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 15: 2.13, 20: 2.09, 30: 1.96}


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Simulated p95 at one rate, one value a run."""

    rate: float
    ttft_p95_ms: tuple[float, ...]
    tpot_p95_ms: tuple[float, ...]

    def value(self, metric: Metric, runs: Sequence[int]) -> float:
        values: tuple[float, ...] = getattr(self, metric)
        return statistics.fmean(values[run] for run in runs)


@dataclass(frozen=True, slots=True)
class MaxRate:
    """λ* with a 95 % interval, or None where even a lone request misses the SLO; `binding` names what stops it."""

    requests_per_s: float | None
    low: float | None
    high: float | None
    binding: Binding
    alone: CurvePoint
    curve: tuple[CurvePoint, ...]
    simulated_requests: int
    simulated_requests_per_wall_s: float


@dataclass(slots=True)
class Search:
    """Everything a search holds fixed: the replica, the traffic, the limits. Counts what it simulates."""

    config: SchedulerConfig
    workload: Workload
    slo: Slo
    seed: int
    long: bool = False
    checkpoint: Callable[[], None] = lambda: None  # called before each simulated rate; may raise to end the search
    simulated: int = 0
    wall_s: float = 0.0
    warm_in: int = field(init=False)  # requests, discarded at the start of a run
    loads: list[OpenLoad] = field(init=False)

    def __post_init__(self) -> None:
        requests = min(MOST_REQUESTS, max(LEAST_REQUESTS, round(TOKENS_PER_RUN / self.workload.mean[1])))
        if self.long:
            requests = max(requests, min(LONG_RUN * requests, round(MOST_LONG_TOKENS / self.workload.mean[1])))
        self.warm_in = round(WARM_IN_SHARE * requests)
        self.loads = [OpenLoad.draw(self.workload, requests, [self.seed, run]) for run in range(RUNS)]

    def point(self, step_ms: StepTime, rate: float, runs: int) -> CurvePoint:
        """Simulate `runs` runs at a rate; rate 0 sends each request when the one before it is long done."""
        self.checkpoint()
        started = time.perf_counter()
        measured = [self._run(load, step_ms, rate) for load in self.loads[:runs]]
        self.wall_s += time.perf_counter() - started
        self.simulated += sum(len(load.lengths) for load in self.loads[:runs])
        return CurvePoint(rate, tuple(ttft for ttft, _ in measured), tuple(tpot for _, tpot in measured))

    def _run(self, load: OpenLoad, step_ms: StepTime, rate: float) -> tuple[float, float]:
        spec = load.level("", "", 0, rate or ALONE, self.warm_in, math.inf)
        rows = simulate(self.config, step_ms, spec).requests[self.warm_in :]
        ttft = [ms for row in rows if (ms := row.ttft_ms(open_loop=True)) is not None]
        tpot = [ms for row in rows if (ms := row.tpot_ms) is not None]
        return nearest_rank(ttft, 0.95), nearest_rank(tpot, 0.95) if tpot else 0.0

    def simultaneous(self, step_ms: StepTime, rate: float) -> int:
        """Sequences that run at once in 99 % of the steps at a rate."""
        return int(nearest_rank([step.running for step in self.steps(step_ms, rate)], 0.99))

    def steps(self, step_ms: StepTime, rate: float) -> list[StepRow]:
        """Of one run at a rate."""
        spec = self.loads[0].level("", "", 0, rate, 0, math.inf)
        return simulate(self.config, step_ms, spec, keep_steps=True).steps

    def root(self, points: Sequence[CurvePoint], runs: Sequence[int]) -> tuple[float | None, Binding]:
        """Where the first metric crosses its limit, and which; the highest rate when none does."""
        roots = {metric: self._metric_root(points, metric, runs) for metric in METRICS}
        missed = [metric for metric in METRICS if roots[metric] is None]
        if missed:
            return None, missed[0]
        found = {metric: root for metric, root in roots.items() if root is not None}
        first = min(METRICS, key=lambda metric: found[metric])
        return found[first], first if found[first] < points[-1].rate else "saturation"

    def _metric_root(self, points: Sequence[CurvePoint], metric: Metric, runs: Sequence[int]) -> float | None:
        values = monotone([point.value(metric, runs) for point in points])
        return crossing([point.rate for point in points], values, getattr(self.slo, metric))


def max_rate(
    search: Search,
    model: StepTime,
    held_out: Sequence[StepTime],
    unsteadiness: float,
    saturation_per_s: float,
    error: float = 0.0,
) -> MaxRate:
    """Find λ* up to the saturated rate.

    Its interval joins what each level decides (`held_out`, models that leave one level out) and the spread between runs
    of the simulation; it is never narrower than `error`, by which the model is off on a typical step, and at the
    saturated rate than that is known. Its low end is that of a machine whose every step is slower by `unsteadiness`.
    """
    coarse, best, binding = _coarse(search, model, saturation_per_s)
    fine: list[CurvePoint] = []
    spread = slowed = 1.0
    if best is not None:
        _, slow, _ = _coarse(search, partial(_slow, model, 1 + unsteadiness), saturation_per_s)
        slowed = min(1.0, (slow or coarse[1].rate) / best)
        fine, best, binding = _refine(search, model, best, saturation_per_s)
        spread = max(_spread(search, held_out, fine), 1 + error, 1 + SATURATION_KNOWN * (binding == "saturation"))
    return MaxRate(
        requests_per_s=best,
        low=best / spread * slowed if best is not None else None,
        high=min(best * spread, max(best, saturation_per_s) * (1 + SATURATION_KNOWN)) if best is not None else None,
        binding=binding,
        alone=coarse[0],
        curve=tuple(sorted([*coarse, *fine], key=lambda point: point.rate)),
        simulated_requests=search.simulated,
        simulated_requests_per_wall_s=search.simulated / search.wall_s,
    )


def _coarse(search: Search, model: StepTime, saturation_per_s: float) -> tuple[list[CurvePoint], float | None, Binding]:
    """One run at rates from none to saturation, and where the first limit is crossed."""
    points = [search.point(model, share * saturation_per_s, runs=1) for share in COARSE_SHARES]
    return points, *search.root(points, [0])


def _slow(model: StepTime, factor: float, *work: int) -> float:
    return factor * model(*work)


def _refine(search: Search, model: StepTime, center: float, most: float) -> tuple[list[CurvePoint], float, Binding]:
    """All runs on rates around the coarse root, again where the root lies outside them."""
    for _ in range(RECENTERINGS):
        rates = sorted({min(share * center, most) for share in FINE_SHARES})
        points = [search.point(model, rate, RUNS) for rate in rates]
        best, binding = search.root(points, range(RUNS))
        if best is not None and (best < rates[-1] or best == most):
            break
        center = rates[0] if best is None else rates[-1]
    return points, best or rates[0], binding


def _spread(search: Search, held_out: Sequence[StepTime], points: Sequence[CurvePoint]) -> float:
    """The factor that λ* is divided and multiplied by for its interval: delete-one jackknives, in logarithms."""
    rates = [point.rate for point in points[::2]]
    levels = []
    for other in held_out:
        levels.append(_log_root(search, [search.point(other, rate, runs=1) for rate in rates], [0]))
    runs = [_log_root(search, points, [run for run in range(RUNS) if run != left_out]) for left_out in range(RUNS)]
    return math.exp(math.hypot(_half_width(levels), _half_width(runs)))


def _half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval that delete-one values give: Student's t times the jackknife's standard error."""
    if len(values) < FEWEST_LEVELS:
        return 0.0
    t = T_975[max(known for known in T_975 if known < len(values))]
    return t * math.sqrt((len(values) - 1) * statistics.pvariance(values))


def _log_root(search: Search, points: Sequence[CurvePoint], runs: Sequence[int]) -> float:
    root, _ = search.root(points, runs)
    return math.log(root or points[0].rate)


def monotone(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """The non-decreasing sequence nearest to `values` in (weighted) squares: pool adjacent violators."""
    blocks: list[tuple[float, float, int]] = []  # sum, weight, how many values
    for value, weight in zip(values, weights or [1.0] * len(values), strict=True):
        total, heavy, count = value * weight, weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / heavy:
            before = blocks.pop()
            total, heavy, count = total + before[0], heavy + before[1], count + before[2]
        blocks.append((total, heavy, count))
    return [total / heavy for total, heavy, count in blocks for _ in range(count)]


def crossing(rates: Sequence[float], values: Sequence[float], limit: float) -> float | None:
    """The rate at which non-decreasing values pass the limit, interpolated; None when the first already does."""
    if values[0] > limit:
        return None
    for number in range(1, len(rates)):
        if values[number] > limit:
            share = (limit - values[number - 1]) / (values[number] - values[number - 1])
            return rates[number - 1] + share * (rates[number] - rates[number - 1])
    return rates[-1]
