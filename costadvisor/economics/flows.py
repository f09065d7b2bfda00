"""What each month of the horizon costs, for many draws at once: as cash, and as the running cost of month 1.

Cash starts with month 0 (setup, and hardware for month 1) and goes on past the horizon where a commitment does.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.commitments import taken_on, within_term
from costadvisor.economics.composition import is_owned, term_months
from costadvisor.economics.costs import api_month, fleet_month, usd_per_hour
from costadvisor.economics.demand import Floats
from costadvisor.economics.fleet import replicas_for
from costadvisor.economics.months import Months, column
from costadvisor.economics.options import ApiOption, ProvisionedOption, SelfHostOption
from costadvisor.economics.replay import Use, fleet_use


@dataclass(frozen=True)
class Flow:
    """`first_month` (draws,) is month 1's running cost (owned: amortized); `cash` is (draws, months + 1 or more)."""

    first_month: Floats
    cash: Floats
    feasible: NDArray[np.bool_]


def api_flow(option: ApiOption, months: Months) -> Flow:
    """Volume grows, the price drifts."""
    return paid_monthly(months, api_usd_per_month(option, months))


def api_usd_per_month(option: ApiOption, months: Months) -> Floats:
    """(draws, months)"""
    first = column(api_month(months.sample.case, option, months.sample).total)
    return months.full(first * months.volume * months.api_price)


def fleet_flow(option: SelfHostOption, months: Months) -> Flow:
    """The fleet that each month's demand needs, on the option's plan, with its people, tools and setup."""
    use = fleet_use(option, months)
    gpus = replicas_flow(option, months, use)
    limit = option.scaling.max_replicas
    feasible = everywhere(months) if limit is None else months.full(use.most).max(axis=1) <= limit
    return together(months, (gpus, staff_flow(option, months)), feasible)


def replicas_flow(option: SelfHostOption, months: Months, use: Use) -> Flow:
    """The replicas alone: by the hour, for a term, or bought."""
    if is_owned(option):
        return _owned(option, months, use.most)
    hour = fleet_month(option, months.sample, 1.0, 0.0).gpus
    usd_per_hour_by_month = column(hour) * months.gpu_price
    if term_months(option):
        return _committed(months, use.most * months.hours * usd_per_hour_by_month, use.most, term_months(option))
    starting = column(usd_per_hour(option, months.sample)) * months.gpu_price * use.start_hours
    starting = starting * (1 + column(months.sample(f"/options/{option.id}/operations/overhead_share")))
    return paid_monthly(months, use.replica_hours * usd_per_hour_by_month + starting)


def staff_flow(option: SelfHostOption, months: Months) -> Flow:
    """People and tools each month, setup once, in month 0."""
    month = fleet_month(option, months.sample, 0.0, 0.0)
    flow = paid_monthly(months, column(month.people + month.tools))
    flow.cash[:, 0] += months.sample(f"/options/{option.id}/operations/setup_usd")
    return flow


def provisioned_flow(option: ProvisionedOption, months: Months) -> Flow:
    """Whole units for each month's busiest hour, paid around the clock; a commitment holds its price to its end."""
    sample, path = months.sample, f"/options/{option.id}"
    peak = months.requests_per_s * months.week.max(axis=1)[:, None]
    drawn, stated = sample(f"{path}/requests_per_s_per_unit"), float(option.requests_per_s_per_unit)
    per_unit = np.where(sample.replanned, drawn, np.minimum(drawn, stated))
    units = replicas_for(peak / column(per_unit), option.min_units)
    usd = units * months.hours * column(sample(f"{path}/usd_per_unit_hour")) * months.api_price
    if option.commitment_months:
        return _committed(months, usd, units, option.commitment_months)
    return paid_monthly(months, usd)


def routed_flow(months: Months, small: Flow, large: Flow) -> Flow:
    """Both parts, each at its share of the requests."""
    return together(months, (small, large), small.feasible & large.feasible)


def paid_monthly(months: Months, usd: Floats) -> Flow:
    """(draws, months) paid as it comes, nothing in month 0."""
    full = months.full(usd)
    return Flow(full[:, 0].copy(), np.concatenate([np.zeros((len(full), 1)), full], axis=1), everywhere(months))


def together(months: Months, flows: Iterable[Flow], feasible: NDArray[np.bool_]) -> Flow:
    parts = list(flows)
    cash = np.zeros((months.sample.draws, max(part.cash.shape[1] for part in parts)))
    for part in parts:
        cash[:, : part.cash.shape[1]] += part.cash
    return Flow(np.sum([part.first_month for part in parts], axis=0), cash, feasible)


def everywhere(months: Months) -> NDArray[np.bool_]:
    return np.ones(months.sample.draws, dtype=bool)


def _committed(months: Months, usd: Floats, needed: Floats, term: int) -> Flow:
    """`usd` is what `needed` cost in each month; what is taken on holds that price to the end of its term."""
    units, cost = months.full(needed), months.full(usd)
    taken = taken_on(units, term)
    payments = within_term(taken * (cost / np.maximum(units, 1)), term)
    return Flow(payments[:, 0].copy(), np.concatenate([np.zeros((len(cost), 1)), payments], axis=1), everywhere(months))


def _owned(option: SelfHostOption, months: Months, needed: Floats) -> Flow:
    """Bought before the month that needs it, sold when its useful life or the horizon ends."""
    sample, path, life = months.sample, f"/options/{option.id}", option.hardware.useful_life_months
    bought = taken_on(months.full(needed), life)
    standing = within_term(bought, life)[:, : bought.shape[1]]
    month = fleet_month(option, sample, months.hours, 0.0)
    price = column(sample(f"{path}/hardware/purchase_usd")) * months.gpu_price
    spent = bought * price
    flow = paid_monthly(months, standing * column(month.gpus - month.amortization))
    cash = flow.cash
    cash[:, :-1] += spent
    resale = spent * column(sample(f"{path}/hardware/residual_share"))
    horizon = bought.shape[1]
    for month_sold in range(life, horizon):
        cash[:, month_sold] -= resale[:, month_sold - life]
    cash[:, horizon] -= resale[:, max(horizon - life, 0) :].sum(axis=1)
    return Flow(standing[:, 0] * np.asarray(month.gpus), cash, flow.feasible)
