"""One row of the options table, allowed or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals, monthly_usd
from costadvisor.economics.costs import week_hours
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import Line, OptionResult, Refusal, Replicas, Spread
from costadvisor.economics.figures import exact
from costadvisor.economics.fleet import Week, planned_week
from costadvisor.economics.lines import api_lines, fleet_lines
from costadvisor.economics.options import ApiOption, CostedOption, SelfHostOption
from costadvisor.economics.ranking import baseline_of

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Costs:
    """Totals (draws,) and at the case's own values (1,), by option id; options without a cost are not in them."""

    drawn: Mapping[str, Totals]
    point: Mapping[str, Totals]


def option_result(
    case: Case, option: CostedOption, refused: tuple[Refusal, ...], costs: Costs, p_cheapest: float | None
) -> OptionResult:
    """The row of one option."""
    drawn, point = costs.drawn.get(option.id), costs.point.get(option.id)
    week = planned_week(case, option) if isinstance(option, SelfHostOption) else None
    lines = _lines(case, option, week)
    month = sum((line.usd_per_month for line in lines), Decimal(0)) if lines else None
    return OptionResult(
        id=option.id,
        kind=option.kind,
        allowed=not refused,
        refusals=refused,
        usd_per_month=None if drawn is None or month is None else _spread(drawn.usd_per_month, month),
        tco_usd=None if drawn is None or point is None else _spread(drawn.tco_usd, _only(point.tco_usd)),
        tco_undiscounted_usd=(
            None
            if drawn is None or point is None
            else _spread(drawn.tco_undiscounted_usd, _only(point.tco_undiscounted_usd))
        ),
        npv_usd=_npv(case, option, costs),
        payback_months=_payback(case, option, costs),
        usd_per_mtok=None if month is None else month * 1_000_000 / _tokens(case),
        usd_per_request=None if month is None else month / case.workload.requests_per_month,
        replicas=_replicas(week),
        utilization=week.utilization if week else None,
        gpu_hours_per_month=_gpu_hours(case, option, week),
        p_cheapest=p_cheapest,
        lines=lines,
    )


def _lines(case: Case, option: CostedOption, week: Week | None) -> tuple[Line, ...]:
    if isinstance(option, ApiOption):
        return api_lines(case, option)
    return fleet_lines(case, option, week) if week else ()


def _spread(draws: Floats, point: Decimal) -> Spread:
    p10, p50, p90 = (exact(float(value)) for value in np.percentile(draws, PERCENTILES))
    return Spread(point=point, p10=p10, p50=p50, p90=p90)


def _only(values: Floats) -> Decimal:
    return exact(float(values[0]))


def _npv(case: Case, option: CostedOption, costs: Costs) -> Spread | None:
    """What the option saves against the baseline, draw by draw."""
    baseline = baseline_of(case)
    if baseline not in costs.drawn or option.id not in costs.drawn:
        return None
    saved = costs.drawn[baseline].tco_usd - costs.drawn[option.id].tco_usd
    return _spread(saved, _only(costs.point[baseline].tco_usd - costs.point[option.id].tco_usd))


def _payback(case: Case, option: CostedOption, costs: Costs) -> int | None:
    """The first month from which the undiscounted saving stays at or above 0 to the horizon; None for never.

    The baseline, and an option that cannot be costed, pay nothing back.
    """
    baseline = next(known for known in case.options if known.baseline)
    if option.baseline or not isinstance(baseline, CostedOption) or {option.id, baseline.id} - costs.point.keys():
        return None
    saved = np.cumsum(monthly_usd(baseline, case) - monthly_usd(option, case))[1:]
    short = np.nonzero(saved < 0)[0]
    first = int(short[-1]) + 2 if short.size else 1
    return first if first <= case.horizon_months else None


def _tokens(case: Case) -> Decimal:
    workload = case.workload
    return workload.requests_per_month * ((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))


def _replicas(week: Week | None) -> Replicas | None:
    if week is None:
        return None
    replicas = week.replicas
    return Replicas(min=int(replicas.min()), mean=float(replicas.mean()), max=int(replicas.max()))


def _gpu_hours(case: Case, option: CostedOption, week: Week | None) -> float | None:
    if week is None or not isinstance(option, SelfHostOption):
        return None
    return float(sum(week_hours(case, option, week))) * option.hardware.gpus_per_replica
