"""The months of the horizon for many draws at once: what every option shares, worked out once per chunk of draws.

Arrays are (draws, months) inside a chunk of draws, so that memory does not grow with their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from costadvisor.economics.case import WEEK_HOURS
from costadvisor.economics.demand import SECONDS_PER_HOUR, Floats, batch_moved, hour_pairs, stretched, week_weights
from costadvisor.economics.values import Sample

MONTHS_PER_YEAR = 12
# 1,111 draws x 36 months of doubles; with half or twice as many a call costs more than a cache saves, or the other way.
CHUNK_CELLS = 40_000

Pairs = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Months:
    """Factors on month 1's volume and prices, (draws or 1, months), and the week as own GPUs see it.

    Volume without growth is (1, 1), so that one month is replayed for all.
    """

    sample: Sample
    volume: Floats
    api_price: Floats
    gpu_price: Floats
    week: Floats

    @cached_property
    def requests_per_s(self) -> Floats:
        """(draws, months), or (draws, 1) without growth: the mean rate of each month."""
        requests = column(self.sample("/workload/requests_per_month"), self.sample)
        return requests * self.volume / (self.hours * SECONDS_PER_HOUR)

    @property
    def hours(self) -> float:
        return float(self.sample.case.hours_per_month)

    @property
    def weeks(self) -> float:
        """In a month."""
        return self.hours / WEEK_HOURS

    @property
    def shape(self) -> tuple[int, int]:
        return self.sample.draws, self.sample.case.horizon_months

    @cached_property
    def pairs(self) -> Pairs:
        """(hour, hour before, how often a week) of the hours that differ."""
        pairs = hour_pairs(self.sample.case.workload.hourly_shape)
        return list(zip(pairs.hour.tolist(), pairs.before.tolist(), pairs.times.tolist(), strict=True))

    def full(self, values: Floats) -> Floats:
        """(draws, months), read-only."""
        return np.broadcast_to(values, self.shape)

    def with_share(self, share: Floats | float) -> "Months":
        """The same months with only that share of the requests."""
        return Months(self.sample.with_share(share), self.volume, self.api_price, self.gpu_price, self.week)


def chunks(sample: Sample) -> Iterator[Months]:
    """The sample in parts that fit a processor's cache."""
    step = max(1, CHUNK_CELLS // sample.case.horizon_months)
    for start in range(0, sample.draws, step):
        yield months_of(sample.part(start, min(start + step, sample.draws)))


def months_of(sample: Sample) -> Months:
    """All draws of the sample at once."""
    elapsed = np.arange(sample.case.horizon_months)
    growth = column(sample("/workload/growth_per_month"))
    return Months(
        sample,
        volume=np.power(1 + growth, elapsed) if growth.any() else np.ones((1, 1)),
        api_price=np.power(1 + column(sample("/drift/api_price_per_year")), elapsed / MONTHS_PER_YEAR),
        gpu_price=np.power(1 + column(sample("/drift/gpu_price_per_year")), elapsed / MONTHS_PER_YEAR),
        week=_week(sample),
    )


def discount_factors(rate_per_year: Decimal, months: int) -> Floats:
    """(months + 1,) `(1 + d)^(-t/12)` for t = 0 … months."""
    return np.power(1 + float(rate_per_year), -np.arange(months + 1) / MONTHS_PER_YEAR)


def column(values: Floats | float, sample: Sample | None = None) -> Floats:
    """(n, 1): one row a draw, or one for all where the value is not drawn and no sample says how many there are."""
    rows = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return (rows if sample is None else np.broadcast_to(rows, (sample.draws,)))[:, None]


def _week(sample: Sample) -> Floats:
    """(draws or 1, 168) Peak as drawn, batchable requests moved to the emptiest hours of their day."""
    weights = week_weights(sample.case.workload.hourly_shape)
    peaks = sample.peak_to_mean
    week = weights[None, :] if peaks is None else stretched(weights, peaks / weights.max())
    return batch_moved(week, np.atleast_1d(np.asarray(sample("/workload/batchable_share"), dtype=np.float64)))
