"""Checks that every evaluation carries, and a master check over them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.breakeven import cost_gap
from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import BreakEven, Check, OptionResult, Spread
from costadvisor.economics.fleet import planned_week, served_weights
from costadvisor.economics.options import ApiOption, Option, SelfHostOption
from costadvisor.economics.ranking import baseline_of
from costadvisor.economics.results import Costs
from costadvisor.economics.terms import FINEST_USD, terms_usd

RELATIVE = 1e-9
LAST_DIGITS = Decimal("1e-22")


@dataclass(frozen=True)
class Checked:
    """What is checked: the rows as shown, and the totals they came from."""

    case: Case
    options: Sequence[Option]
    rows: Sequence[OptionResult]
    costs: Costs
    break_evens: Sequence[BreakEven]


def checks(checked: Checked) -> tuple[Check, ...]:
    """Each check, then `master`: all of them."""
    found = [Check(id=id_, ok=not problems, message=_message(says, problems)) for id_, says, problems in _all(checked)]
    passed = sum(check.ok for check in found)
    master = Check(id="master", ok=passed == len(found), message=f"Checks {passed}/{len(found)} passed.")
    return (*found, master)


def _message(says: str, problems: list[str]) -> str:
    return f"{says}: no, {'; '.join(problems)}." if problems else f"{says}."


def _all(checked: Checked) -> Iterator[tuple[str, str, list[str]]]:
    case, rows = checked.case, checked.rows
    yield "lines_sum", "The lines of each month add up to its cost exactly", _lines_sum(rows)
    yield "terms_give_lines", "Each line is what its terms come to", _terms(rows)
    yield "two_ways", "Each month comes out the same computed exactly and as in a draw", _two_ways(checked)
    yield "baseline_npv", "Today's option saves nothing against itself", _baseline_npv(case, rows)
    yield "npv_is_difference", "Each saving is today's total cost less the option's", _npv_is_difference(case, rows)
    yield "percentiles_ordered", "Every range is in order: p10, median, p90", _percentiles(rows)
    yield "probabilities", "The shares of being the cheapest sum to at most 1", _probabilities(rows)
    yield "demand_conserved", "Moving requests that may wait keeps the number of the week's requests", _demand(case)
    yield "capacity_covers_peak", "Every hour's fleet covers its demand with headroom", _covered(checked)
    yield "break_even_sides", "Just above each break-even the fleet is cheaper, priced anew", _sides(checked)


def _lines_sum(rows: Iterable[OptionResult]) -> list[str]:
    return [
        row.id
        for row in rows
        if row.usd_per_month and sum((line.usd_per_month for line in row.lines), Decimal(0)) != row.usd_per_month.point
    ]


def _terms(rows: Iterable[OptionResult]) -> list[str]:
    """To the last digit that an amount of this size has."""
    return [
        f"{row.id}: {line.label}"
        for row in rows
        for line in row.lines
        if abs(terms_usd(line.terms) - line.usd_per_month) > FINEST_USD + abs(line.usd_per_month) * LAST_DIGITS
    ]


def _two_ways(checked: Checked) -> list[str]:
    point: Mapping[str, float] = {id_: float(t.usd_per_month[0]) for id_, t in checked.costs.point.items()}
    return [
        row.id
        for row in checked.rows
        if row.usd_per_month and not np.isclose(point[row.id], float(row.usd_per_month.point), rtol=RELATIVE)
    ]


def _baseline_npv(case: Case, rows: Iterable[OptionResult]) -> list[str]:
    baseline = baseline_of(case)
    return [row.id for row in rows if row.id == baseline and row.npv_usd and any(_values(row.npv_usd))]


def _npv_is_difference(case: Case, rows: Sequence[OptionResult]) -> list[str]:
    baseline = next(row for row in rows if row.id == baseline_of(case))
    problems = []
    for row in rows:
        if row.npv_usd and row.tco_usd and baseline.tco_usd:
            difference = float(baseline.tco_usd.point - row.tco_usd.point)
            scale = float(max(abs(baseline.tco_usd.point), abs(row.tco_usd.point), Decimal(1)))
            if abs(float(row.npv_usd.point) - difference) > RELATIVE * scale:
                problems.append(row.id)
    return problems


def _percentiles(rows: Iterable[OptionResult]) -> list[str]:
    spreads = ((row.id, spread) for row in rows for spread in (row.usd_per_month, row.tco_usd, row.npv_usd) if spread)
    return [id_ for id_, spread in spreads if not spread.p10 <= spread.p50 <= spread.p90]


def _probabilities(rows: Iterable[OptionResult]) -> list[str]:
    total = sum(row.p_cheapest or 0 for row in rows)
    return [] if total <= 1 + RELATIVE else [f"they sum to {total:.6g}"]


def _demand(case: Case) -> list[str]:
    mean = float(served_weights(case).mean())
    return [] if abs(mean - 1) <= RELATIVE else [f"the mean hour has {mean:.9g} times its share"]


def _covered(checked: Checked) -> list[str]:
    return [
        option.id
        for option in checked.options
        if isinstance(option, SelfHostOption) and not _covers(checked.case, option)
    ]


def _covers(case: Case, option: SelfHostOption) -> bool:
    week = planned_week(case, option)
    if week is None:
        return True
    serving = week.serving * week.capacity_requests_per_s
    return bool(np.all(serving >= week.requests_per_s * (1 + float(option.scaling.headroom)) * (1 - 2 * RELATIVE)))


def _sides(checked: Checked) -> list[str]:
    """Just above each lower end, month 1 is evaluated as a case of that volume would be."""
    options = {option.id: option for option in checked.options}
    problems = []
    for known in checked.break_evens:
        api = options[known.versus]
        if known.basis != "month_1" or not known.intervals or not isinstance(api, ApiOption):
            continue
        starts = np.array([stretch.from_requests_per_month for stretch in known.intervals]) * (1 + RELATIVE)
        if np.any(cost_gap(checked.case, options[known.option], api, starts) >= 0):
            problems.append(f"{known.option} against {known.versus}")
    return problems


def _values(spread: Spread) -> tuple[Decimal, ...]:
    return spread.point, spread.p10, spread.p50, spread.p90
