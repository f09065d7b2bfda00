"""λ* from open-loop runs: a monotone curve through each p95 against rate, and where the first crosses its limit.

The run is the unit: requests of one run share their fate. With a step model every run has a twin, the same requests in
the simulator, and what counts is the ratio of the two: the luck of a run's arrivals, which moves a p95 by ten percent
and more, is in both and falls out. The curve is then the simulated one, long enough to have no luck of its own, times
the ratio near each rate. Without a model the curve goes through the measured values themselves.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine.calibrate.capacity import (
    METRICS,
    SATURATION_KNOWN,
    T_975,
    Binding,
    CurvePoint,
    Metric,
    crossing,
    monotone,
)
from engine.calibrate.slo import Slo

NEAR = 0.10  # of λ*: runs this close decide on it
BANDWIDTH = 0.12  # in the logarithm of the rate: how far a run's ratio reaches
OVER = 4.0  # times the limit: what a run counts as that was ended because it fell ever further behind
DRAWS = 200
FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One open-loop run: p95 in milliseconds by metric, of the run and of its twin."""

    level: str
    rate: float
    measured: Mapping[Metric, float]
    twin: Mapping[Metric, float] | None = None
    oversaturated: bool = False

    def value(self, metric: Metric, limit: float) -> float:
        """Logarithm of the p95; within a factor of the limit, so that no single run bends the curve."""
        value = self.measured[metric]
        if self.oversaturated and metric == "ttft_p95_ms":
            value = max(value, OVER * limit)
        return math.log(min(max(value, limit / OVER), OVER * limit))

    def ratio(self, metric: Metric, limit: float) -> float:
        """Logarithm of measured over twin. A run that was ended is at least as far over the limit as its twin."""
        if self.twin is None:
            raise ValueError("the run has no twin")
        if self.oversaturated:
            return max(0.0, math.log(OVER * limit / max(self.twin[metric], 1e-9))) if metric == "ttft_p95_ms" else 0.0
        return math.log(max(self.measured[metric], 1e-9) / max(self.twin[metric], 1e-9))


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Runs at one rate: their mean p95."""

    rate: float
    runs: int
    ttft_p95_ms: float
    tpot_p95_ms: float


@dataclass(frozen=True, slots=True)
class SweepFit:
    """λ* with its 95 % interval from the spread between runs; `near` counts the runs that decide on it.

    `requests_per_s` is None when even the lowest rate was over a limit, and `above` is true when none was.
    """

    requests_per_s: float | None
    low: float | None
    high: float | None
    binding: Binding
    above: bool
    near: int
    runs: tuple[SweepRun, ...]

    @property
    def half_width(self) -> float:
        """Half of the interval over λ*; infinite while there is none."""
        if self.requests_per_s is None or self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2 / self.requests_per_s

    @property
    def points(self) -> tuple[SweepPoint, ...]:
        by_rate = defaultdict(list)
        for run in self.runs:
            by_rate[run.rate].append(run)
        return tuple(
            SweepPoint(rate, len(runs), *(statistics.fmean(run.measured[metric] for run in runs) for metric in METRICS))
            for rate, runs in sorted(by_rate.items())
        )


def sweep_fit(
    runs: Sequence[SweepRun], base: Sequence[CurvePoint], slo: Slo, seed: int, most: float = math.inf
) -> SweepFit:
    """Fit runs; `base` is the simulated curve on rates around λ*, empty where the runs have no twins. `most` is the
    saturated rate, beyond which a minute inside the SLO says nothing of an hour."""
    find = partial(_root, slo=slo, most=most)
    everything = range(len(base[0].ttft_p95_ms)) if base else range(0)
    root, binding = find(runs, base, everything)
    rates = [point.rate for point in base] if base else [run.rate for run in runs]
    near = sum(root is not None and abs(run.rate / root - 1) <= NEAR + 1e-9 for run in runs)
    above = root is not None and binding != "saturation" and root >= (1 - 1e-9) * max(rates)
    low = high = None
    if root is not None:
        rng = np.random.default_rng([seed, len(runs)])
        logs = []
        for _ in range(DRAWS):
            drawn = [runs[place] for place in rng.integers(len(runs), size=len(runs))]
            found, _ = find(drawn, base, rng.choice(everything, len(everything)).tolist() if base else ())
            logs.append(math.log(found or min(rates)))
        spread = math.exp(_t(near) * _enlarged(near) * statistics.stdev(logs))
        if above or binding == "saturation":
            spread = max(spread, 1 + SATURATION_KNOWN)  # every draw ends there, however little is known of it
        low, high = root / spread, root * spread
    return SweepFit(root, low, high, binding, above, near, tuple(runs))


def _t(near: int) -> float:
    return T_975[max(known for known in T_975 if known <= max(2, near - 1))]


def _enlarged(near: int) -> float:
    """Drawing n of n values again gives a spread too small by this."""
    return math.sqrt(near / (near - 1)) if near > 1 else 2.0


def _root(
    runs: Sequence[SweepRun], base: Sequence[CurvePoint], simulated: Sequence[int], slo: Slo, most: float
) -> tuple[float | None, Binding]:
    """Where the first metric crosses its limit, and which; the saturated rate when none does before it."""
    roots: dict[Metric, float | None] = {}
    for metric in METRICS:
        limit = getattr(slo, metric)
        rates, values = _with_twins(runs, base, simulated, metric, limit) if base else _alone(runs, metric, limit)
        found = crossing([math.log(rate) for rate in rates], values, math.log(limit))
        roots[metric] = None if found is None else math.exp(found)
    missed = [metric for metric in METRICS if roots[metric] is None]
    if missed:
        return None, missed[0]
    first = min(METRICS, key=lambda metric: roots[metric] or 0.0)
    return (most, "saturation") if (roots[first] or 0.0) > most else (roots[first], first)


def _alone(runs: Sequence[SweepRun], metric: Metric, limit: float) -> tuple[list[float], list[float]]:
    """Rates and the logarithms of the monotone curve through the runs."""
    ordered = sorted(runs, key=lambda run: run.rate)
    rates = sorted({run.rate for run in runs})
    fitted: dict[float, float] = {}
    values = {rate: [run.value(metric, limit) for run in ordered if run.rate == rate] for rate in rates}
    means = monotone([statistics.fmean(values[rate]) for rate in rates], [len(values[rate]) for rate in rates])
    fitted.update(zip(rates, means, strict=True))
    return rates, [fitted[rate] for rate in rates]


def _with_twins(
    runs: Sequence[SweepRun], base: Sequence[CurvePoint], simulated: Sequence[int], metric: Metric, limit: float
) -> tuple[list[float], list[float]]:
    """The simulated curve times the ratio of the runs near each rate, made monotone."""
    at = np.log([run.rate for run in runs])
    ratios = np.array([run.ratio(metric, limit) for run in runs])
    values = []
    for point in base:
        distance = np.abs(at - math.log(point.rate)) / BANDWIDTH
        weights = np.maximum(1e-6, 1 - distance)
        ratio = float(weights @ ratios / weights.sum())
        values.append(math.log(max(point.value(metric, simulated), 1e-9)) + ratio)
    return [point.rate for point in base], monotone(values)
