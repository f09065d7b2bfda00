"""A fleet's cost as a staircase over volume: the steps of month 1, or of all months of the horizon."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.composition import paid_around_the_clock
from costadvisor.economics.costs import fleet_month
from costadvisor.economics.demand import DAY_HOURS, SECONDS_PER_HOUR, Floats, hour_pairs
from costadvisor.economics.fleet import served_weights
from costadvisor.economics.months import MONTHS_PER_YEAR, discount_factors
from costadvisor.economics.options import Option, SelfHostOption
from costadvisor.economics.staircase import Staircase
from costadvisor.economics.values import Exact


@dataclass(frozen=True)
class Basis:
    """(months,) factors on volume and prices, discounted; one month for the running cost, or the whole horizon."""

    name: Literal["month_1", "horizon"]
    volume: Floats
    api_price: Floats
    gpu_price: Floats
    flat: Floats
    setup_counted: bool


def month_1_basis() -> Basis:
    one = np.ones(1)
    return Basis("month_1", one, one, one, one, setup_counted=False)


def horizon_basis(case: Case) -> Basis:
    elapsed = np.arange(case.horizon_months)
    discount = discount_factors(case.discount_rate_per_year, case.horizon_months)[1:]
    years = elapsed / MONTHS_PER_YEAR
    return Basis(
        "horizon",
        np.power(1 + float(case.workload.growth_per_month), elapsed),
        np.power(1 + float(case.drift.api_price_per_year), years) * discount,
        np.power(1 + float(case.drift.gpu_price_per_year), years) * discount,
        discount,
        setup_counted=True,
    )


def is_on_steps(option: Option, basis: Basis) -> bool:
    """Whether the cost is a sum over hours of whole replicas: no commitment to carry over, nothing switched off."""
    if not isinstance(option, SelfHostOption):
        return False
    if paid_around_the_clock(option):
        return basis.name == "month_1"
    return option.scaling.policy != "scale_to_zero"


def fleet_staircase(case: Case, option: SelfHostOption, basis: Basis) -> Staircase:
    hour = fleet_month(option, Exact(case), Decimal(1), Decimal(0))
    hours_in_week = float(case.hours_per_month) / WEEK_HOURS
    weights, before, hours, starts = _groups(case, option)
    per_request = _load_per_request(case, option)
    start_hours = float(option.scaling.cold_start_s) / SECONDS_PER_HOUR
    usd_per_hour = float(hour.gpus) * hours_in_week
    usd = np.outer(basis.gpu_price, (hours + starts * start_hours) * usd_per_hour)
    start = np.outer(basis.gpu_price, hours * usd_per_hour * start_hours)
    loads, loads_before = np.outer(basis.volume, weights * per_request), np.outer(basis.volume, before * per_request)
    if np.ptp(basis.volume) == 0:
        loads, loads_before = loads[0], loads_before[0]
        usd, start = usd.sum(axis=0), start.sum(axis=0)
    people = float(hour.people + hour.tools) * float(basis.flat.sum())
    setup = float(option.operations.setup_usd) if basis.setup_counted else 0.0
    fixed = people + option.scaling.spare_replicas * float(usd.sum()) + setup
    return Staircase(
        fixed, loads.ravel(), usd.ravel(), loads_before.ravel(), start.ravel(), option.scaling.min_replicas
    )


def peak_load_per_request(case: Case, option: SelfHostOption) -> float:
    """Replicas in the busiest hour for each request of the month."""
    return _load_per_request(case, option) * float(_groups(case, option)[0].max())


def _load_per_request(case: Case, option: SelfHostOption) -> float:
    """Replicas in a mean hour for each request of the month."""
    one_replica = float(planning_requests_per_s(case, option)) / (1 + float(option.scaling.headroom))
    return 1 / (one_replica * float(case.hours_per_month) * SECONDS_PER_HOUR)


def _groups(case: Case, option: SelfHostOption) -> tuple[Floats, Floats, Floats, Floats]:
    """Of hours planned alike: weight, weight of the hour before, hours a week, and starts a week of each replica.

    The weight of the hour before counts where replicas follow the day.
    """
    week, policy = served_weights(case), option.scaling.policy
    always = paid_around_the_clock(option)
    if policy == "window":
        window = float(option.scaling.window_hours_per_day or DAY_HOURS)
        days = week.reshape(-1, DAY_HOURS).mean(axis=1) * (DAY_HOURS / window)
        if not always:
            starts = np.full(days.size, 1.0 if window < DAY_HOURS else 0.0)
            return days, days, np.full(days.size, window), starts
        week = days
    if policy != "scheduled" or always:
        peak = week.max(keepdims=True)
        return peak, peak, np.array([float(WEEK_HOURS)]), np.zeros(1)
    pairs = hour_pairs(case.workload.hourly_shape)
    return week[pairs.hour], week[pairs.before], pairs.times.astype(np.float64), np.zeros(pairs.times.size)
