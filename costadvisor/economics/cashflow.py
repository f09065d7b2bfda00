"""The months of the horizon, for many draws at once: volume grows, prices drift, fleets are planned anew each month.

Arrays are (draws, months) inside a chunk of draws, so that memory does not grow with their number.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.capacity import sampled_requests_per_s
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.costs import MONTHS_PER_YEAR, api_month, fleet_month
from costadvisor.economics.demand import (
    SECONDS_PER_HOUR,
    Floats,
    batch_moved,
    hour_pairs,
    stretched,
    week_weights,
)
from costadvisor.economics.fleet import replicas_for
from costadvisor.economics.options import ApiOption, CostedOption, SelfHostOption
from costadvisor.economics.values import Sample

# 512 draws x 36 months of doubles stay in a processor's second-level cache.
CHUNK_CELLS = 20_000


@dataclass(frozen=True)
class Totals:
    """Of one option, (draws,) each: month 1's running cost, totals with setup, and whether the fleet may be had."""

    usd_per_month: Floats
    tco_usd: Floats
    tco_undiscounted_usd: Floats
    feasible: NDArray[np.bool_]


@dataclass(frozen=True)
class Months:
    """What all options share in a chunk of draws."""

    sample: Sample
    volume: Floats
    api_price: Floats
    gpu_price: Floats
    discount: Floats


def option_totals(option: CostedOption, sample: Sample) -> Totals:
    """The option's totals for every draw of the sample."""
    step = max(1, CHUNK_CELLS // sample.case.horizon_months)
    parts = [sample.part(start, min(start + step, sample.draws)) for start in range(0, sample.draws, step)]
    totals = [_chunk(option, part) for part in parts]
    return Totals(
        np.concatenate([part.usd_per_month for part in totals]),
        np.concatenate([part.tco_usd for part in totals]),
        np.concatenate([part.tco_undiscounted_usd for part in totals]),
        np.concatenate([part.feasible for part in totals]),
    )


def monthly_usd(option: CostedOption, case: Case) -> Floats:
    """(months + 1,) Cash of the case as it stands: setup in month 0, then each month's running cost."""
    months = _months(Sample(case))
    costs = _api_costs(option, months) if isinstance(option, ApiOption) else _fleet_costs(option, months)[0]
    return np.concatenate([[_setup(option, months.sample)[0]], costs[0]])


def discount_factors(case: Case) -> Floats:
    """(months,) `(1 + d)^(-t/12)` for t = 1 … horizon."""
    months = np.arange(1, case.horizon_months + 1)
    return np.power(1 + float(case.discount_rate_per_year), -months / MONTHS_PER_YEAR)


def _chunk(option: CostedOption, sample: Sample) -> Totals:
    months = _months(sample)
    if isinstance(option, ApiOption):
        costs, feasible = _api_costs(option, months), np.ones(sample.draws, dtype=bool)
    else:
        costs, feasible = _fleet_costs(option, months)
    setup = _setup(option, sample)
    return Totals(costs[:, 0].copy(), setup + costs @ months.discount, setup + costs.sum(axis=1), feasible)


def _months(sample: Sample) -> Months:
    elapsed = np.arange(sample.case.horizon_months)
    return Months(
        sample,
        volume=np.power(1 + _column(sample("/workload/growth_per_month")), elapsed),
        api_price=np.power(1 + _column(sample("/drift/api_price_per_year")), elapsed / MONTHS_PER_YEAR),
        gpu_price=np.power(1 + _column(sample("/drift/gpu_price_per_year")), elapsed / MONTHS_PER_YEAR),
        discount=discount_factors(sample.case),
    )


def _column(values: Floats | float) -> Floats:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))[:, None]


def _each(values: Floats | float, sample: Sample) -> Floats:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (sample.draws,))


def _setup(option: CostedOption, sample: Sample) -> Floats:
    if isinstance(option, ApiOption):
        return np.zeros(sample.draws)
    return _each(sample(f"/options/{option.id}/operations/setup_usd"), sample)


def _api_costs(option: ApiOption, months: Months) -> Floats:
    first = _column(api_month(months.sample.case, option, months.sample).total)
    return np.broadcast_to(first * months.volume * months.api_price, (months.sample.draws, months.discount.size))


def _fleet_costs(option: SelfHostOption, months: Months) -> tuple[Floats, NDArray[np.bool_]]:
    """(draws, months) of running cost, and (draws,) whether no hour of any month needs more than max_replicas."""
    sample = months.sample
    hours, cold_start_hours, most = _replica_hours(option, months)
    rented = fleet_month(option, sample, 1.0, 0.0)
    per_hour = _column(rented.rent + rented.overhead) * months.gpu_price
    costs = (hours + cold_start_hours) * per_hour + _column(rented.people + rented.tools)
    limit = option.scaling.max_replicas
    feasible = np.ones(sample.draws, dtype=bool) if limit is None else most <= limit
    return costs, feasible


def _replica_hours(option: SelfHostOption, months: Months) -> tuple[Floats, Floats, Floats]:
    """Replica-hours and cold-start hours (draws, months), and the most replicas at once (draws,)."""
    sample, scaling = months.sample, option.scaling
    weights = _weights(sample)
    mean = sample("/workload/requests_per_month") / (float(sample.case.hours_per_month) * SECONDS_PER_HOUR)
    planned = (1 + float(scaling.headroom)) / sampled_requests_per_s(sample, option)
    loads = _column(mean * planned) * months.volume
    peak = replicas_for(loads * weights.max(axis=1)[:, None], scaling.min_replicas)
    most = peak.max(axis=1) + scaling.spare_replicas
    if scaling.policy == "fixed":
        return (peak + scaling.spare_replicas) * float(sample.case.hours_per_month), np.zeros((1, 1)), most
    serving, steps_up = _replayed(option, sample, loads, weights)
    weeks = float(sample.case.hours_per_month) / WEEK_HOURS
    start_hours = _column(sample(f"/options/{option.id}/scaling/cold_start_s")) / SECONDS_PER_HOUR
    return (serving + scaling.spare_replicas * WEEK_HOURS) * weeks, steps_up * weeks * start_hours, most


def _replayed(option: SelfHostOption, sample: Sample, loads: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Replica-hours without spares, and replicas started, of a week hour by hour; equal neighbours once."""
    minimum = option.scaling.min_replicas
    serving, steps_up = np.zeros_like(loads), np.zeros_like(loads)
    now, before, change = np.empty_like(loads), np.empty_like(loads), np.empty_like(loads)
    replayed = None
    for hour, hour_before, times in _pairs(sample.case):
        now, before = before, now
        if replayed != hour_before:
            replicas_for(np.multiply(loads, weights[:, hour_before, None], out=before), minimum, out=before)
        replicas_for(np.multiply(loads, weights[:, hour, None], out=now), minimum, out=now)
        replayed = hour
        np.subtract(now, before, out=change)
        np.maximum(change, 0.0, out=change)
        serving += now if times == 1 else now * times
        steps_up += change if times == 1 else change * times
    return serving, steps_up


def _pairs(case: Case) -> list[tuple[int, int, int]]:
    pairs = hour_pairs(case.workload.hourly_shape)
    return list(zip(pairs.hour.tolist(), pairs.before.tolist(), pairs.times.tolist(), strict=True))


def _weights(sample: Sample) -> Floats:
    """(draws or 1, 168) The week as own GPUs see it: peak as drawn, batchable requests moved."""
    weights = week_weights(sample.case.workload.hourly_shape)
    peaks = sample.peak_to_mean
    week = weights[None, :] if peaks is None else stretched(weights, peaks / weights.max())
    return batch_moved(week, np.atleast_1d(np.asarray(sample("/workload/batchable_share"), dtype=np.float64)))
