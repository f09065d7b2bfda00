"""Demand by hour of the week: 168 weights with mean 1, Monday 00:00 UTC first."""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.case import WEEK_HOURS, Case, HourlyShape, PeakToMean

Floats = NDArray[np.float64]

DAY_HOURS = 24
PEAK_HOUR = 14
SECONDS_PER_HOUR = 3600
STEEPEST = 5000.0
FLAT = 1e-9


@lru_cache(maxsize=64)
def week_weights(shape: HourlyShape) -> Floats:
    """(168,) with mean 1, read-only: the shape of the case as it is given."""
    weights = _week(shape)
    weights.flags.writeable = False
    return weights


def _week(shape: HourlyShape) -> Floats:
    if isinstance(shape, PeakToMean):
        return np.tile(_day_with_peak(float(shape.peak_to_mean)), 7)
    weights = np.ones(WEEK_HOURS) if isinstance(shape, str) else np.array([float(weight) for weight in shape])
    relative: Floats = weights / weights.mean()
    return relative


def _day_with_peak(ratio: float) -> Floats:
    """`exp(kappa cos(2 pi (h - 14) / 24))` with kappa solved by bisection for max / mean = ratio."""
    low, high = 0.0, STEEPEST
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / float(_day(middle).mean()) < ratio else (low, middle)
    day = _day(low)
    relative: Floats = day / day.mean()
    return relative


def _day(kappa: float) -> Floats:
    """Relative to the peak hour, so that no kappa overflows."""
    hours = range(DAY_HOURS)
    cosines = [math.cos(2 * math.pi * (hour - PEAK_HOUR) / DAY_HOURS) for hour in hours]
    return np.array([math.exp(kappa * (cosine - 1)) for cosine in cosines])


def stretched(weights: Floats, peak_factor: Floats) -> Floats:
    """(n, 168): the week with its peak times each factor (n,) and its mean kept, no hour below zero.

    Every hour keeps its share of the way down from the peak, until it is empty. A peak that not even empty hours
    elsewhere can feed is the highest they can. A flat week has no shape to stretch: every hour grows.
    """
    peak = float(weights.max())
    wanted = np.maximum(peak * peak_factor, 1.0)[:, None]
    if peak - 1 < FLAT:
        return np.broadcast_to(wanted, (len(peak_factor), WEEK_HOURS))
    below = peak - weights
    peak_hours = int(np.count_nonzero(below == 0))
    wanted = np.minimum(wanted, WEEK_HOURS / peak_hours)
    # With the `hours` busiest hours in use, sum(wanted - slope * below) over them is the week's demand; counting
    # empty hours in, or busy ones out, gives a lower slope than the true one.
    hours = np.arange(peak_hours + 1, WEEK_HOURS + 1)
    depth = np.cumsum(np.sort(below))[peak_hours:]
    slope = ((hours * wanted - WEEK_HOURS) / depth).max(axis=1, keepdims=True)
    week: Floats = np.maximum(wanted - slope * below, 0.0)
    return week


def batch_moved(weights: Floats, batchable_share: Floats) -> Floats:
    """(n, 168): each day's batchable share (n,) moved into that day's emptiest hours, like water finding its level."""
    if not np.any(batchable_share):
        return weights
    share = batchable_share[:, None, None]
    days = weights.reshape(-1, 7, DAY_HOURS)
    fixed = (1 - share) * days
    water = share * days.sum(axis=2, keepdims=True)
    levels = (water + np.cumsum(np.sort(fixed, axis=2), axis=2)) / np.arange(1, DAY_HOURS + 1)
    # Filling too few or too many hours gives a higher level than the true one.
    moved: Floats = np.maximum(fixed, levels.min(axis=2, keepdims=True)).reshape(-1, WEEK_HOURS)
    return moved


@dataclass(frozen=True)
class HourPairs:
    """The week as the pairs (hour before, hour) that differ, each with how often it occurs.

    Two hours of equal weight in days of equal shape stay equal under `stretched` and `batch_moved`, so a week that
    repeats one day has at most 24 pairs, and a flat one has one.
    """

    before: NDArray[np.intp]
    hour: NDArray[np.intp]
    times: NDArray[np.intp]


@lru_cache(maxsize=64)
def hour_pairs(shape: HourlyShape) -> HourPairs:
    """The distinct neighbours of the cyclic week."""
    weights = week_weights(shape)
    days = [tuple(sorted(day)) for day in weights.reshape(7, DAY_HOURS).tolist()]
    alike = [(weight, days[hour // DAY_HOURS]) for hour, weight in enumerate(weights.tolist())]
    found: dict[object, list[int]] = {}
    for hour in range(WEEK_HOURS):
        found.setdefault((alike[hour - 1], alike[hour]), []).append(hour)
    firsts = np.array([hours[0] for hours in found.values()])
    return HourPairs((firsts - 1) % WEEK_HOURS, firsts, np.array([len(hours) for hours in found.values()]))


def requests_per_s(requests_per_month: Decimal, case: Case) -> float:
    """The mean rate of a month of the case's hours."""
    return float(requests_per_month / (case.hours_per_month * SECONDS_PER_HOUR))
