"""What every option costs over the horizon, for many draws at once, and the cash of the case as it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.case import Case
from costadvisor.economics.composition import parts_of
from costadvisor.economics.demand import Floats
from costadvisor.economics.flows import Flow, api_flow, fleet_flow, provisioned_flow, routed_flow
from costadvisor.economics.hybrid import hybrid_flow, planned_replicas
from costadvisor.economics.months import Months, chunks, discount_factors, months_of
from costadvisor.economics.options import ApiOption, HybridOption, Option, RoutedOption, SelfHostOption
from costadvisor.economics.values import Sample


@dataclass(frozen=True)
class Totals:
    """Of one option, (draws,) each: month 1's running cost, totals with setup, and whether the fleet may be had."""

    usd_per_month: Floats
    tco_usd: Floats
    tco_undiscounted_usd: Floats
    feasible: NDArray[np.bool_]


def totals_by_id(options: Sequence[Option], sample: Sample) -> dict[str, Totals]:
    """Each option's totals for every draw of the sample."""
    # Where all is planned on what is drawn, what the case itself would plan is not asked for.
    planned = _planned(() if np.all(sample.replanned) else options, sample.case)
    parts: dict[str, list[Totals]] = {option.id: [] for option in options}
    for months in chunks(sample):
        for option in options:
            parts[option.id].append(_totals(flow_of(option, months, planned), sample.case))
    return {id_: _joined(found) for id_, found in parts.items()}


def option_totals(option: Option, sample: Sample) -> Totals:
    """The option's totals for every draw of the sample."""
    return totals_by_id((option,), sample)[option.id]


def flow_of(option: Option, months: Months, planned: Mapping[str, int]) -> Flow:
    """The option's cash, whatever its kind; `planned` holds the replicas of each hybrid's base."""
    if isinstance(option, ApiOption):
        return api_flow(option, months)
    if isinstance(option, SelfHostOption):
        return fleet_flow(option, months)
    if isinstance(option, HybridOption):
        return hybrid_flow(option, months, planned.get(option.id, 0))
    if isinstance(option, RoutedOption):
        return _routed(option, months, planned)
    return provisioned_flow(option, months)


def monthly_usd(option: Option, case: Case) -> Floats:
    """Cash of the case as it stands: month 0 (setup, hardware), each month of the horizon, and what is due after it."""
    cash: Floats = flow_of(option, months_of(Sample(case)), _planned((option,), case)).cash[0]
    return cash


def _planned(options: Sequence[Option], case: Case) -> dict[str, int]:
    return {option.id: planned_replicas(case, option) for option in options if isinstance(option, HybridOption)}


def _routed(option: RoutedOption, months: Months, planned: Mapping[str, int]) -> Flow:
    share = months.sample(f"/options/{option.id}/small_share")
    small, large = parts_of(months.sample.case, option)
    small_flow = flow_of(small, months.with_share(share), planned)
    return routed_flow(months, small_flow, flow_of(large, months.with_share(1 - share), planned))


def _totals(flow: Flow, case: Case) -> Totals:
    discount = discount_factors(case.discount_rate_per_year, flow.cash.shape[1] - 1)
    return Totals(flow.first_month, flow.cash @ discount, flow.cash.sum(axis=1), flow.feasible)


def _joined(parts: Sequence[Totals]) -> Totals:
    return Totals(
        np.concatenate([part.usd_per_month for part in parts]),
        np.concatenate([part.tco_usd for part in parts]),
        np.concatenate([part.tco_undiscounted_usd for part in parts]),
        np.concatenate([part.feasible for part in parts]),
    )
