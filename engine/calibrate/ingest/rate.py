"""What rate an import supports. A p95 is never guessed: it is the file's own, or is bounded by what the file has.

p99 lies no lower, so a p99 inside the limit proves a p95 inside it; p50 to p90 lie no higher, so one outside the limit
proves a p95 outside it. Means prove neither. Requests that failed are in no percentile: where more than 5 % did, p95 is
missed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.calibrate.capacity import Binding, crossing, monotone
from engine.calibrate.ingest.tool_level import ToolLevel
from engine.calibrate.record_derived import MaxRate, NoRate
from engine.calibrate.slo import Slo

# Simulated with the true rate known (docs/how-it-measures.md): what random and what bursty arrivals sustain of it.
OPEN_LOOP_SHARE = 0.75
BURSTY_SHARE = 0.68
MOST_LOST = 0.05


@dataclass(frozen=True, slots=True)
class Sustained:
    """The rate and what binds it, or why there is none. `fitted` are the levels that a curve went through;
    `at_least`: even the highest rate met the SLO."""

    rate: MaxRate | None
    no_rate_because: NoRate | None
    binding: Binding | None = None
    fitted: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class _Point:
    requests_per_s: float
    ttft_ms: float
    tpot_ms: float


def sustained(levels: Sequence[ToolLevel], slo: Slo) -> Sustained:
    """From traffic with a latency tail where there is any, else derated from the throughput that was reached."""
    missing = [level for level in levels if _traffic(level) and proven_to_miss(level, slo)]
    outside = [_sent(level) for level in missing if _loses(level) or tail_at_most(level) is None]
    broken = min(outside, default=math.inf)
    points = [point for point in _points(levels) if point.requests_per_s < broken]
    return _fitted(levels, points, broken, slo) if points else _derated(levels, slo)


def _points(levels: Sequence[ToolLevel]) -> list[_Point]:
    """What is known of the tails at each rate; runs at the same rate are one point."""
    by_rate: dict[float, list[tuple[float, float]]] = {}
    for level in levels:
        tail = tail_at_most(level)
        if tail is not None:
            by_rate.setdefault(_sent(level), []).append(tail)
    return [_Point(rate, *map(_mean, zip(*by_rate[rate], strict=True))) for rate in sorted(by_rate)]


def tail_at_most(level: ToolLevel) -> tuple[float, float] | None:
    """p95 TTFT and TPOT or what bounds them, of a level whose latencies are those of traffic."""
    first, each = level.ttft.p95_at_most, level.tpot.p95_at_most
    return None if not _traffic(level) or first is None or each is None else (first, each)


def _traffic(level: ToolLevel) -> bool:
    return level.complete and level.load is not None and level.load.clumps


def _sent(level: ToolLevel) -> float:
    """The rate of a level of traffic."""
    return (level.load.requests_per_s if level.load else None) or 0.0


def _loses(level: ToolLevel) -> bool:
    return bool(level.attempted) and (level.finished or 0) < (1 - MOST_LOST) * (level.attempted or 0)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _fitted(levels: Sequence[ToolLevel], points: Sequence[_Point], broken: float, slo: Slo) -> Sustained:
    """Where the first of the two monotone curves crosses its limit, between the levels around it. At `broken`, the
    lowest rate that is known to miss without a point on them, it is crossed in any case."""
    rates = [point.requests_per_s for point in points]
    roots: dict[Binding, float | None] = {
        "ttft_p95_ms": crossing(rates, monotone([point.ttft_ms for point in points]), slo.ttft_p95_ms),
        "tpot_p95_ms": crossing(rates, monotone([point.tpot_ms for point in points]), slo.tpot_p95_ms),
    }
    missed = [metric for metric, root in roots.items() if root is None]
    if missed:
        return Sustained(None, _none_inside(levels, slo), missed[0], len(points))
    found = {metric: root for metric, root in roots.items() if root is not None}
    binding = min(found, key=lambda metric: found[metric])
    best, inside = found[binding], found[binding] == rates[-1]
    rate = MaxRate(
        requests_per_s=best,
        low=max(rate for rate in rates if rate <= best),
        high=min((rate for rate in (*rates, broken) if best < rate < math.inf), default=best),
        method="imported",
    )
    return Sustained(rate, None, None if inside else binding, len(points), inside and broken == math.inf)


def _derated(levels: Sequence[ToolLevel], slo: Slo) -> Sustained:
    reached = fastest(levels).requests_per_s
    inside = [level.requests_per_s for level in levels if not proven_to_miss(level, slo)]
    if not inside:
        return Sustained(None, _none_inside(levels, slo))
    best = min(OPEN_LOOP_SHARE * reached, max(inside))
    rate = MaxRate(requests_per_s=best, low=min(BURSTY_SHARE * reached, best), high=max(inside), method="derated")
    return Sustained(rate, None)


def fastest(levels: Sequence[ToolLevel]) -> ToolLevel:
    return max(levels, key=lambda level: level.requests_per_s)


def proven_to_miss(level: ToolLevel, slo: Slo) -> bool:
    """Requests that are all sent at once wait for each other; what they took says nothing of traffic."""
    if _loses(level):
        return True
    if level.load is not None and level.load.all_at_once:
        return False
    return level.ttft.p95_at_least > slo.ttft_p95_ms or level.tpot.p95_at_least > slo.tpot_p95_ms


def _none_inside(levels: Sequence[ToolLevel], slo: Slo) -> NoRate:
    """One request at a time is the lightest load there is: where it misses, no rate can do."""
    alone = [level for level in levels if level.load is not None and level.load.concurrency == 1]
    return "slo_unreachable" if any(proven_to_miss(level, slo) for level in alone) else "no_level_inside"
