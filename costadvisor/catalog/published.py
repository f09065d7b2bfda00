"""From a published, closed-loop measurement to a request rate one replica may be planned with.

A closed loop keeps N requests in flight and never queues, so its throughput flatters: random arrivals
sustain about 0.75 of saturation within a p95 objective. No rate here exceeds that, however good its latency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from costadvisor.catalog.facts import PublishedThroughput

OPEN_LOOP_SHARE = 0.75
LENGTH_FACTOR = 2.0
TAIL_STATISTICS = ("p95", "p99")


@dataclass(frozen=True)
class PublishedCapacity:
    """Requests a second that a published series supports at a workload's lengths.

    Grade C: its latency tail is inside the objective, at lengths within a factor of two. Grade D otherwise.
    `formula` shows the arithmetic. `requests_per_s` is 0 where even its lightest level misses the objective.
    """

    series: str
    requests_per_s: float
    grade: str
    formula: str
    source: str
    as_of: date


def published_capacity(
    levels: Sequence[PublishedThroughput],
    *,
    input_tokens: float,
    output_tokens: float,
    ttft_p95_ms: float,
    tpot_p95_ms: float,
) -> PublishedCapacity:
    """The capacity that all levels of one series support, for these mean lengths and this objective."""
    first = levels[0]
    ratios = (input_tokens / first.input_tokens, output_tokens / first.output_tokens)
    similar = all(1 / LENGTH_FACTOR <= ratio <= LENGTH_FACTOR for ratio in ratios)
    ceiling = OPEN_LOOP_SHARE * max(level.requests_per_s for level in levels)
    tails = [level for level in levels if level.ttft_stat in TAIL_STATISTICS and level.tpot_ms is not None]
    inside = [level.requests_per_s for level in tails if _inside(level, ttft_p95_ms, tpot_p95_ms)]
    rate = min(ceiling, max(inside, default=0.0)) if tails else ceiling
    return PublishedCapacity(
        series=first.series,
        requests_per_s=rate / max(ratios),
        grade="C" if inside and similar else "D",
        formula=_formula(first, rate, ceiling, max(ratios)),
        source=first.source,
        as_of=max(level.as_of for level in levels),
    )


def _inside(level: PublishedThroughput, ttft_p95_ms: float, tpot_p95_ms: float) -> bool:
    """A p99 inside the objective proves a p95 inside it; a median proves nothing about the tail."""
    if level.ttft_ms is None or level.tpot_ms is None:
        return False
    return level.ttft_ms <= ttft_p95_ms and max(level.tpot_ms, _mean_tpot_bound_ms(level)) <= tpot_p95_ms


def _mean_tpot_bound_ms(level: PublishedThroughput) -> float:
    """Little's law: N / throughput is the mean time a request takes; over its tokens it bounds the mean TPOT.

    Needed because a median gap between tokens does not see the pauses that other requests' prefills cause.
    """
    seconds_per_request = level.concurrency / level.requests_per_s
    return 1000 * seconds_per_request / max(level.output_tokens - 1, 1)


def _formula(first: PublishedThroughput, rate: float, ceiling: float, stretch: float) -> str:
    lengths = f"{first.input_tokens:,} tokens in and {first.output_tokens:,} out"
    if rate == 0:
        return f"0: even the lightest level published at {lengths} misses the latency target"
    if rate < ceiling:
        start = f"{rate:.3g} requests/s, the most whose published tail meets the latency target, at {lengths}"
    else:
        start = f"{OPEN_LOOP_SHARE} x {ceiling / OPEN_LOOP_SHARE:.3g} requests/s, the most it reached, at {lengths}"
    return f"{start}; divided by {stretch:.3g} for this workload's lengths"
