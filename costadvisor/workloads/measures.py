"""What requests or a series of hourly counts tell about a workload. Pure."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from costadvisor.workloads.profile import HOURS_IN_WEEK, LengthBucket, Lengths
from costadvisor.workloads.requests import Floats, Requests

HOUR_S = 3600
HOURS_IN_MONTH = 730  # as in a case that does not say
WEEK_S = HOURS_IN_WEEK * HOUR_S
ARRIVALS_A_WINDOW = 10
MIN_WINDOWS = 30  # fewer say little of how arrivals clump
BURSTINESS_RANGE = (0.05, 20.0)
MIX_SIDE = 8  # lengths are cut into at most 8 × 8 buckets
PERCENTILES = (50, 90, 95, 99)
# Student's t at 95 % for 1, 2, … degrees of freedom: a 90 % interval. Beyond the table the normal's 1.645 is 2 % off.
T_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)


def lengths_of(requests: Requests, source: str) -> Lengths:
    return Lengths(
        source=source,
        requests=len(requests),
        input_percentiles=_percentiles(requests.input_tokens),
        output_percentiles=_percentiles(requests.output_tokens),
        mix=tuple(_length_mix(requests)),
    )


def burstiness(requests: Requests) -> float | None:
    """Gamma shape b of arrivals inside the hour, from the index of dispersion of their counts.

    Each hour is cut into windows of about ten arrivals; variance over mean of the counts, averaged over hours by
    windows, is the index I. A stationary gamma process has I = c + (1 - c²) / 6m for windows of m arrivals, with
    c = 1 / b (Cox, Renewal Theory, 1962, §4.5), which is solved for c. Inside the hour, because the day's rise and fall
    is the hourly shape's to tell. None with too few arrivals.
    """
    sums = [_dispersion(hour, start, end) for hour, start, end in _hours(requests.arrival_s)]
    windows = sum(count for _, count in sums)
    if windows < MIN_WINDOWS:
        return None
    index, six_m = sum(index * count for index, count in sums) / windows, 6 * ARRIVALS_A_WINDOW
    root = max(0.0, six_m**2 / 4 - index * six_m + 1)
    low, high = BURSTINESS_RANGE
    variation = six_m / 2 - math.sqrt(root)
    return min(max(1 / variation, low), high) if variation > 0 else high


def requests_week(requests: Requests) -> tuple[float, ...] | None:
    """Weights of the week's hours, or None without a clock or shorter than a week."""
    if not requests.has_clock or requests.span_s < WEEK_S:
        return None
    hours, counts = np.unique(requests.arrival_s // HOUR_S, return_counts=True)
    moments = (datetime.fromtimestamp(hour * HOUR_S, UTC) for hour in hours.tolist())
    end = datetime.fromtimestamp(float(requests.arrival_s[-1]), UTC)
    return week_weights(zip(moments, counts.tolist(), strict=True), requests.began_at, end)


def week_weights(counts: Iterable[tuple[datetime, float]], start: datetime, end: datetime) -> tuple[float, ...]:
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


@dataclass(frozen=True)
class Growth:
    """A month, with the ends of a 90 % interval; none with two months, which any line fits."""

    value: float
    low: float | None = None
    high: float | None = None


def monthly_growth(requests: Sequence[int]) -> Growth | None:
    """Growth a month fitted to the logarithm of consecutive months' requests; None where it cannot be.

    The interval is that of the slope of least squares, from the months' scatter about the line.
    """
    if len(requests) < 2 or min(requests) <= 0:
        return None
    months, logs = np.arange(len(requests), dtype=float), np.log(np.asarray(requests, dtype=float))
    slope, start = statistics.linear_regression(months.tolist(), logs.tolist())
    free = len(requests) - 2
    if not free:
        return Growth(math.expm1(slope))
    scatter = float(((logs - start - slope * months) ** 2).sum()) / free
    error = math.sqrt(scatter / float(((months - months.mean()) ** 2).sum()))
    reach = error * (T_95[free - 1] if free <= len(T_95) else 1.645)
    return Growth(math.expm1(slope), math.expm1(slope - reach), math.expm1(slope + reach))


def percentile(values: Floats | NDArray[np.int64], percent: int) -> float:
    """Of the nearest rank."""
    return float(np.sort(values)[-(-percent * len(values) // 100) - 1])


def _hour_of_week(moment: datetime) -> int:
    return moment.weekday() * 24 + moment.hour


def _hours(arrival_s: Floats) -> Iterator[tuple[Floats, float, float]]:
    """Arrivals of each hour, and from when to when of it was watched."""
    hours, firsts = np.unique(arrival_s // HOUR_S, return_index=True)
    for hour, part in zip(hours.tolist(), np.split(arrival_s, firsts[1:]), strict=True):
        yield part, max(hour * HOUR_S, float(arrival_s[0])), min((hour + 1) * HOUR_S, float(arrival_s[-1]))


def _dispersion(arrivals: Floats, start: float, end: float) -> tuple[float, int]:
    """Variance over mean of the counts in windows of about ten arrivals, and of how many windows beyond one."""
    windows = len(arrivals) // ARRIVALS_A_WINDOW
    if windows < 2 or end <= start:
        return 0.0, 0
    counts, _ = np.histogram(arrivals, bins=windows, range=(start, end))
    return float(counts.var(ddof=1) / counts.mean()), windows - 1


def _percentiles(values: NDArray[np.int64]) -> dict[str, int]:
    """Nearest-rank percentiles and the largest value."""
    return {f"p{percent}": int(percentile(values, percent)) for percent in PERCENTILES} | {"max": int(values.max())}


def _length_mix(requests: Requests) -> Iterator[LengthBucket]:
    """Buckets of equal counts by input and, within each, by output; each stands at its means, so the whole's stay."""
    inputs, outputs = requests.input_tokens, requests.output_tokens
    for column in _parts(np.argsort(inputs, kind="stable")):
        for cell in _parts(column[np.argsort(outputs[column], kind="stable")]):
            yield LengthBucket(
                input=round(float(inputs[cell].mean())),
                output=round(float(outputs[cell].mean())),
                weight=len(cell) / len(requests),
            )


def _parts(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    count = min(MIX_SIDE, len(places))
    edges = [round(position * len(places) / count) for position in range(count + 1)]
    return [places[start:end] for start, end in pairwise(edges)]
