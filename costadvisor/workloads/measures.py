"""What a trace or a series of hourly counts tells about a workload. Pure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from costadvisor.workloads.profile import HOURS_IN_WEEK, LengthBucket, Lengths
from costadvisor.workloads.traces import Request, Trace

HOUR_S = 3600
WEEK_S = HOURS_IN_WEEK * HOUR_S
MIN_GAPS = 100  # fewer arrivals in an hour say little about how bursty it is
BURSTINESS_RANGE = (0.05, 20.0)
MIX_SIDE = 8  # lengths are cut into at most 8 × 8 buckets
PERCENTILES = (50, 90, 95, 99)


def trace_lengths(trace: Trace, source: str) -> Lengths:
    requests = trace.requests
    return Lengths(
        source=source,
        requests=len(requests),
        input_percentiles=_percentiles([request.input_tokens for request in requests]),
        output_percentiles=_percentiles([request.output_tokens for request in requests]),
        mix=tuple(_length_mix(requests)),
    )


def burstiness(trace: Trace) -> float | None:
    """Gamma shape of the gaps between arrivals, 1 / CV², inside each hour and averaged over hours by arrivals.

    Inside the hour, because the day's rise and fall is the hourly shape's to tell. None with too few arrivals.
    """
    hours: dict[int, list[float]] = defaultdict(list)
    for request in trace.requests:
        hours[int(request.arrival_s // HOUR_S)].append(request.arrival_s)
    shapes = [(_gap_shape(arrivals), len(arrivals)) for arrivals in hours.values() if len(arrivals) > MIN_GAPS]
    if not shapes:
        return None
    return sum(shape * weight for shape, weight in shapes) / sum(weight for _, weight in shapes)


def trace_week(trace: Trace) -> tuple[float, ...] | None:
    """Weights of the week's hours, or None for a trace without a clock or shorter than a week."""
    if not trace.has_clock or trace.span_s < WEEK_S:
        return None
    arrivals = [(datetime.fromtimestamp(request.arrival_s, UTC), 1) for request in trace.requests]
    return week_weights(arrivals, arrivals[0][0], arrivals[-1][0])


def week_weights(counts: Iterable[tuple[datetime, int]], start: datetime, end: datetime) -> tuple[float, ...]:
    """Mean-1 weights of the 168 hours from Monday 00:00 UTC: requests over the time that each hour was observed.

    `start` to `end` must reach over a week at least, or some hours were never seen.
    """
    requests, observed_s = [0.0] * HOURS_IN_WEEK, [0.0] * HOURS_IN_WEEK
    for moment, count in counts:
        requests[_hour_of_week(moment)] += count
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        following = hour + timedelta(hours=1)
        observed_s[_hour_of_week(hour)] += (min(following, end) - max(hour, start)).total_seconds()
        hour = following
    rates = [count / seconds for count, seconds in zip(requests, observed_s, strict=True)]
    mean = statistics.fmean(rates)
    return tuple(rate / mean for rate in rates)


def monthly_growth(requests: Sequence[int]) -> float | None:
    """Growth a month fitted to the logarithm of consecutive months' requests; None where it cannot be."""
    if len(requests) < 2 or min(requests) <= 0:
        return None
    log_growth = statistics.linear_regression(range(len(requests)), [math.log(count) for count in requests]).slope
    return math.expm1(log_growth)


def _hour_of_week(moment: datetime) -> int:
    return moment.weekday() * 24 + moment.hour


def _gap_shape(arrivals: Sequence[float]) -> float:
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    mean, variance = statistics.fmean(gaps), statistics.pvariance(gaps)
    low, high = BURSTINESS_RANGE
    return high if variance == 0 else min(max(mean * mean / variance, low), high)


def _percentiles(values: Sequence[int]) -> dict[str, int]:
    """Nearest-rank percentiles and the largest value."""
    ordered = sorted(values)
    ranks = {f"p{percent}": -(-percent * len(ordered) // 100) - 1 for percent in PERCENTILES}
    return {name: ordered[rank] for name, rank in ranks.items()} | {"max": ordered[-1]}


def _length_mix(requests: Sequence[Request]) -> Iterable[LengthBucket]:
    """Buckets of equal counts by input and, within each, by output; each stands at its means, so the whole's stay."""
    by_input = sorted(requests, key=lambda request: request.input_tokens)
    for column in _parts(by_input):
        for cell in _parts(sorted(column, key=lambda request: request.output_tokens)):
            yield LengthBucket(
                input=round(statistics.fmean(request.input_tokens for request in cell)),
                output=round(statistics.fmean(request.output_tokens for request in cell)),
                weight=len(cell) / len(requests),
            )


def _parts(requests: Sequence[Request]) -> list[Sequence[Request]]:
    count = min(MIX_SIDE, len(requests))
    edges = [round(position * len(requests) / count) for position in range(count + 1)]
    return [requests[start:end] for start, end in pairwise(edges)]
