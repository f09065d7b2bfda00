"""One row of the options table, allowed or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals, monthly_usd
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import OptionResult, Refusal, Spread
from costadvisor.economics.figures import exact
from costadvisor.economics.levelized import levelized_usd_per_mtok
from costadvisor.economics.options import Option
from costadvisor.economics.ranking import baseline_of
from costadvisor.economics.running import running

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Costs:
    """Totals (draws,) and at the case's own values (1,), by option id; options without a cost are not in them."""

    drawn: Mapping[str, Totals]
    point: Mapping[str, Totals]


def option_result(
    case: Case, option: Option, refused: tuple[Refusal, ...], costs: Costs, p_cheapest: float | None
) -> OptionResult:
    """The row of one option."""
    drawn, point = costs.drawn.get(option.id), costs.point.get(option.id)
    planned = running(case, option)
    month = sum((line.usd_per_month for line in planned.lines), Decimal(0)) if planned.lines else None
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
        lcoai_usd_per_mtok=None if point is None else exact(levelized_usd_per_mtok(case, float(point.tco_usd[0]))),
        replicas=planned.replicas,
        utilization=planned.utilization,
        gpu_hours_per_month=planned.gpu_hours,
        p_cheapest=p_cheapest,
        lines=planned.lines,
    )


def _spread(draws: Floats, point: Decimal) -> Spread:
    p10, p50, p90 = (exact(float(value)) for value in np.percentile(draws, PERCENTILES))
    return Spread(point=point, p10=p10, p50=p50, p90=p90)


def _only(values: Floats) -> Decimal:
    return exact(float(values[0]))


def _npv(case: Case, option: Option, costs: Costs) -> Spread | None:
    """What the option saves against the baseline, draw by draw."""
    baseline = baseline_of(case)
    if baseline not in costs.drawn or option.id not in costs.drawn:
        return None
    saved = costs.drawn[baseline].tco_usd - costs.drawn[option.id].tco_usd
    return _spread(saved, _only(costs.point[baseline].tco_usd - costs.point[option.id].tco_usd))


def _payback(case: Case, option: Option, costs: Costs) -> int | None:
    """The first month from which the undiscounted saving stays at or above 0, to the end of every commitment.

    None for never. The baseline, and an option that cannot be costed, pay nothing back.
    """
    baseline = next(known for known in case.options if known.baseline)
    if option.baseline or {option.id, baseline.id} - costs.point.keys():
        return None
    today, own = monthly_usd(baseline, case), monthly_usd(option, case)
    saved = np.zeros(max(today.size, own.size))
    saved[: today.size] += today
    saved[: own.size] -= own
    short = np.nonzero(np.cumsum(saved)[1:] < 0)[0]
    first = int(short[-1]) + 2 if short.size else 1
    return first if first <= case.horizon_months else None


def _tokens(case: Case) -> Decimal:
    workload = case.workload
    return workload.requests_per_month * ((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
