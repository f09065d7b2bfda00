"""The charts of a decision, as data: built from the case and its evaluation, drawn by `costadvisor.charts`."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from costadvisor.charts.chart import Axis, LineChart, RangeChart, Reach, ReferenceLine, Series, Span, Table, tick_text
from costadvisor.common.money import amount_text, money_in_prose
from costadvisor.economics.breakeven import running_usd
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.evaluation import BreakEven, Evaluation, Sensitivity
from costadvisor.economics.fleet import planned_week
from costadvisor.economics.names import input_name, input_text, names_by_id
from costadvisor.economics.options import Option, SelfHostOption

LEAST_USD, MOST_USD = 100.0, 1_000_000.0
POINTS = 241
TABLE_STEP = 20
MOST_SERIES = 6
MOST_ROWS = 10
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Floats = NDArray[np.float64]


def cost_chart(evaluation: Evaluation, case: Case) -> LineChart | None:
    """Month 1's running cost of each option as traffic grows with its mix and shape fixed; None without a costed today.

    The x axis is what today's option would cost, as in the evaluation's break-even intervals.
    """
    names, today = _marked_names(evaluation, case), next(option for option in case.options if option.baseline)
    point = month_usd(case, today, np.ones(1))
    if point is None or not point[0]:
        return None
    today_usd = float(point[0])
    spends = np.geomspace(LEAST_USD, MOST_USD, POINTS)
    costs = {option.id: month_usd(case, option, spends / today_usd) for option in case.options}
    drawn = {id_: usds.tolist() for id_, usds in costs.items() if usds is not None and usds.all()}
    spans = _cheaper_spans(evaluation, names, today.id)
    return LineChart(
        id="cost",
        title="Cost against volume",
        sentence=_cost_sentence(evaluation, names, today.id, today_usd),
        x=Axis(f"what {names[today.id]} costs at this mix (USD a month)", "usd", "log"),
        y=Axis("running cost (USD a month)", "usd", "log"),
        series=tuple(
            Series(names[id_], tuple(spends.tolist()), tuple(usds)) for id_, usds in list(drawn.items())[:MOST_SERIES]
        ),
        table=_cost_table(spends, drawn, names),
        lines=(
            ReferenceLine("x", today_usd, f"today {_prose(today_usd)}"),
            ReferenceLine("x", 1_000, "rule of thumb: rarely pays below $1k"),
            ReferenceLine("x", 10_000, "often pays above $10k"),
        ),
        spans=spans,
    )


def month_usd(case: Case, option: Option, volumes: Floats) -> Floats | None:
    """(n,) Running cost of month 1 with each of `volumes` times the case's requests; None where there is no cost."""
    return running_usd(case, option, volumes * float(case.workload.requests_per_month))


def week_chart(evaluation: Evaluation, case: Case) -> LineChart | None:
    """Demand by hour and what each allowed fleet could serve inside the objective; None without a fleet."""
    names, allowed = names_by_id(case), _allowed(evaluation)
    fleets = [option for option in case.options if isinstance(option, SelfHostOption) and option.id in allowed]
    weeks = {option.id: week for option in fleets if (week := planned_week(case, option)) is not None}
    if not weeks:
        return None
    demand = next(iter(weeks.values())).requests_per_s
    able: dict[str, Floats] = {
        id_: np.maximum(week.replicas, week.serving) * week.capacity_requests_per_s for id_, week in weeks.items()
    }
    capacities = [Series(f"capacity, {names[id_]}", HOURS, _closed(able[id_]), step=True) for id_ in able]
    busiest = {id_: _busiest(weeks[id_].requests_per_s, able[id_]) for id_ in able}
    told = "; ".join(f"{names[id_]} is {100 * busiest[id_]:.0f} % busy in its busiest hour" for id_ in able)
    return LineChart(
        id="week",
        title="Demand against capacity",
        sentence=f"Demand peaks at {demand.max():.3g} requests a second, {demand.max() / demand.mean():.2g} times "
        f"its mean; {told}.",
        x=Axis("hour of the week (UTC)", "hour", ticks=tuple((24.0 * day, name) for day, name in enumerate(DAYS))),
        y=Axis("requests a second", "requests_per_s", from_zero=True),
        series=(Series("demand", HOURS, _closed(demand), step=True), *capacities[: MOST_SERIES - 1]),
        table=Table(
            ("hour of the week", "demand (requests/s)", *(f"{series.name} (requests/s)" for series in capacities)),
            tuple(
                (f"{DAYS[hour // 24]} {hour % 24:02}:00", f"{demand[hour]:.3g}",
                 *(f"{fleet[hour]:.3g}" for fleet in able.values()))
                for hour in range(WEEK_HOURS)
            ),
        ),
    )  # fmt: skip


def _busiest(served: Floats, able: Floats) -> float:
    """The share of what is there that the busiest hour takes; outside a daily window nothing is there."""
    return float(np.max(served[able > 0] / able[able > 0]))


HOURS = tuple(float(hour) for hour in range(WEEK_HOURS + 1))


def _closed(hours: Floats) -> tuple[float, ...]:
    """A step needs an end for its last hour."""
    return (*hours.tolist(), float(hours[-1]))


def sensitivity_chart(evaluation: Evaluation, case: Case) -> RangeChart | None:
    """The tornado: what each input alone does to the difference in total cost, widest first."""
    names = names_by_id(case)
    rows = sorted(evaluation.sensitivity, key=_swing, reverse=True)[:MOST_ROWS]
    if not rows:
        return None
    first = rows[0]
    return RangeChart(
        id="sensitivity",
        title="What the answer depends on",
        sentence=f"What moves the difference most is {input_name(first.input, names)}: "
        f"from {_signed(first.npv_low_usd)} at {input_text(first.input, first.low)} "
        f"to {_signed(first.npv_high_usd)} at {input_text(first.input, first.high)}. "
        "Below zero the recommendation is cheaper.",
        x=Axis("recommendation less the best of the other kind (USD)", "usd"),
        rows=tuple(
            Reach(input_name(row.input, names), float(row.npv_low_usd), float(row.npv_high_usd),
                input_text(row.input, row.low), input_text(row.input, row.high))
            for row in rows
        ),
        table=Table(
            ("input", "low", "high", "difference at low (USD)", "difference at high (USD)"),
            tuple((input_name(row.input, names), input_text(row.input, row.low), input_text(row.input, row.high),
                   amount_text(row.npv_low_usd, places=0), amount_text(row.npv_high_usd, places=0)) for row in rows),
        ),
        lines=(ReferenceLine("x", 0, "equal"),),
    )  # fmt: skip


def _swing(row: Sensitivity) -> Decimal:
    return abs(row.npv_high_usd - row.npv_low_usd)


def _cheaper_spans(evaluation: Evaluation, names: Mapping[str, str], today: str) -> tuple[Span, ...]:
    """Where the fleet that is first to cost less than today does."""
    fleets = [row for row in _month_1(evaluation) if row.versus == today and row.intervals]
    if not fleets:
        return ()
    first = min(fleets, key=lambda row: row.intervals[0].from_api_usd_per_month)
    ends = [
        (float(part.from_api_usd_per_month), float(part.to_api_usd_per_month or MOST_USD)) for part in first.intervals
    ]
    shown = [(max(start, LEAST_USD), min(end, MOST_USD)) for start, end in ends if start < MOST_USD]
    labels = [f"{names[first.option]} costs less than today", *[""] * len(shown)]
    return tuple(Span(start, end, label) for (start, end), label in zip(shown, labels, strict=False))


def allowed_break_evens(evaluation: Evaluation) -> tuple[BreakEven, ...]:
    """Where an option costs less matters only if it may be chosen."""
    allowed = _allowed(evaluation)
    return tuple(row for row in evaluation.break_even if row.option in allowed)


def _month_1(evaluation: Evaluation) -> list[BreakEven]:
    return [row for row in allowed_break_evens(evaluation) if row.basis == "month_1"]


def _allowed(evaluation: Evaluation) -> set[str]:
    return {row.id for row in evaluation.options if row.allowed}


def _marked_names(evaluation: Evaluation, case: Case) -> dict[str, str]:
    """An excluded option keeps its line, and says so."""
    allowed = _allowed(evaluation)
    return {id_: name if id_ in allowed else f"{name} (excluded)" for id_, name in names_by_id(case).items()}


def _cost_sentence(evaluation: Evaluation, names: Mapping[str, str], today: str, today_usd: float) -> str:
    found = [row for row in _month_1(evaluation) if row.versus == today]
    told = [f"{names[row.option]}: {row.message[:1].lower()}{row.message[1:]}" for row in found]
    start = f"Today {names[today]} costs {_prose(today_usd)} a month at the values of the case."
    return " ".join([start, *told])


def _cost_table(spends: Floats, costs: Mapping[str, Sequence[float]], names: Mapping[str, str]) -> Table:
    return Table(
        ("today's option (USD a month)", *(f"{names[id_]} (USD a month)" for id_ in costs)),
        tuple(
            (amount_text(Decimal(spends[row]), places=0),
             *(amount_text(Decimal(usds[row]), places=0) for usds in costs.values()))
            for row in range(0, POINTS, TABLE_STEP)
        ),
    )  # fmt: skip


def _prose(usd: float) -> str:
    return money_in_prose(Decimal(usd), "USD")


def _signed(usd: Decimal) -> str:
    return tick_text(float(f"{usd:.3g}"), "usd")
