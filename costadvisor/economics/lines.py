"""Month 1 of an own fleet as rows, each with its terms. The rows sum to the point exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.costs import FleetMonth, fleet_month
from costadvisor.economics.demand import SECONDS_PER_HOUR
from costadvisor.economics.evaluation import Line, Term
from costadvisor.economics.figures import count, plain, price
from costadvisor.economics.options import SelfHostOption
from costadvisor.economics.terms import hours_a_month, line, over, term
from costadvisor.economics.values import Exact


@dataclass(frozen=True)
class PaidWeek:
    """What is paid of a week: replica-hours, and replicas started. `replicas` where the same number runs all week."""

    replica_hours: Decimal
    starts: Decimal
    replicas: int | None = None


def fleet_lines(option: SelfHostOption, values: Exact, week: PaidWeek) -> tuple[Line, ...]:
    """GPUs, people and tools; cold starts, power, colocation and overhead where there are any."""
    case = values.case
    weeks = case.hours_per_month / WEEK_HOURS
    hours = week.replica_hours * case.hours_per_month / WEEK_HOURS
    month = fleet_month(option, values, hours, week.starts * weeks * option.scaling.cold_start_s / SECONDS_PER_HOUR)
    return (*_gpu_lines(option, case, month, week), *_team_lines(option, month))


def _gpu_lines(option: SelfHostOption, case: Case, month: FleetMonth, week: PaidWeek) -> Iterator[Line]:
    hardware, path = option.hardware, f"/options/{option.id}"
    hours, replicas, hourly = _hours(case, week), _replicas(week), _hourly(option, case)
    if hardware.plan != "owned":
        yield line(option.id, "GPU rent", (*hours, *hourly), month.rent)
    elif month.rent:
        yield line(option.id, "Running cost", (*hours, *hourly), month.rent)
    if month.amortization:
        residual, life = hardware.residual_share, hardware.useful_life_months
        written_off = (
            term(price(hardware.purchase_usd), hardware.purchase_usd, "USD", f"{path}/hardware/purchase_usd"),
            term(f"(1 - {plain(residual)})", 1 - residual, "share", f"{path}/hardware/residual_share"),
            over(f"{life} months", Decimal(life), "months", f"{path}/hardware/useful_life_months"),
        )
        yield line(option.id, "Amortization", (replicas, *written_off), month.amortization)
    if month.power:
        power = (
            term(f"{plain(hardware.power_kw)} kW", hardware.power_kw, "kW", f"{path}/hardware/power_kw"),
            term(f"PUE {plain(hardware.pue)}", hardware.pue, "kWh per kWh", f"{path}/hardware/pue"),
            term(price(hardware.usd_per_kwh), hardware.usd_per_kwh, "USD per kWh", f"{path}/hardware/usd_per_kwh"),
        )
        yield line(option.id, "Power", (*hours, *power), month.power)
    if month.colocation:
        usd, field = hardware.colocation_usd_per_month, f"{path}/hardware/colocation_usd_per_month"
        yield line(option.id, "Colocation", (replicas, term(price(usd), usd, "USD a month", field)), month.colocation)
    if month.cold_starts:
        starting = (
            term(f"{plain(round(week.starts, 2))} starts a week", week.starts, "starts a week"),
            _weeks(case),
            *_start_hours(option),
        )
        yield line(option.id, "Cold starts", (*starting, *hourly), month.cold_starts)
    if month.overhead:
        share = option.operations.overhead_share
        terms = (
            term(plain(share), share, "share", f"{path}/operations/overhead_share"),
            term("the above", month.gpus - month.overhead, "USD"),
        )
        yield line(option.id, "Overhead", terms, month.overhead)


def _team_lines(option: SelfHostOption, month: FleetMonth) -> Iterator[Line]:
    people, path = option.operations, f"/options/{option.id}/operations"
    paid = (
        term(f"{plain(people.fte)} FTE", people.fte, "FTE", f"{path}/fte"),
        term(
            f"${plain(people.usd_per_fte_year)} a year",
            people.usd_per_fte_year,
            "USD a year",
            f"{path}/usd_per_fte_year",
        ),
        over("12", Decimal(12), "months a year"),
    )
    yield line(option.id, "People", paid, month.people)
    tools = term("a month, as given", people.usd_per_month, "USD a month", f"{path}/usd_per_month")
    yield line(option.id, "Tools and services", (tools,), month.tools)


def _weeks(case: Case) -> Term:
    weeks = case.hours_per_month / WEEK_HOURS
    return term(f"{plain(case.hours_per_month)}/168 weeks", weeks, "weeks a month", "/hours_per_month")


def _hours(case: Case, week: PaidWeek) -> tuple[Term, Term]:
    """Replica-hours of a month."""
    if week.replicas is not None:
        return _replicas(week), hours_a_month(case)
    words = f"{plain(round(week.replica_hours, 2))} replica-hours a week"
    return term(words, week.replica_hours, "replica-hours a week"), _weeks(case)


def _replicas(week: PaidWeek) -> Term:
    if week.replicas is not None:
        return term(count(week.replicas, "replica"), Decimal(week.replicas), "replicas")
    mean = week.replica_hours / WEEK_HOURS
    return term(f"{plain(round(mean, 2))} replicas", mean, "replicas")


def _start_hours(option: SelfHostOption) -> tuple[Term, Term]:
    cold, field = option.scaling.cold_start_s, f"/options/{option.id}/scaling/cold_start_s"
    return term(f"{plain(cold)} s", cold, "seconds a start", field), over("3600", Decimal(3600), "seconds an hour")


def _hourly(option: SelfHostOption, case: Case) -> tuple[Term, ...]:
    """`$2.50`; of spot `(0.8 x $1.50 + 0.2 x $2.50) x (1 + 0.2 x 120 s / 3600 / 730 h)`."""
    path, spot = f"/options/{option.id}", option.hardware.spot
    usd, field = option.hardware.usd_per_hour or Decimal(0), f"{path}/hardware/usd_per_hour"
    if spot is None:
        return (term(price(usd), usd, "USD an hour", field),)
    share, fallback = spot.unavailable_share, spot.fallback_usd_per_hour
    paid = term(
        f"({plain(1 - share)} x {price(usd)} + {plain(share)} x {price(fallback)})",
        (1 - share) * usd + share * fallback,
        "USD an hour",
        field,
        f"{path}/hardware/spot",
    )
    cold, often = option.scaling.cold_start_s, spot.interruptions_per_month
    again = term(
        f"(1 + {plain(often)} x {plain(cold)} s / 3600 / {plain(case.hours_per_month)} h)",
        1 + often * cold / SECONDS_PER_HOUR / case.hours_per_month,
        "hours paid an hour",
        f"{path}/hardware/spot",
        f"{path}/scaling/cold_start_s",
    )
    return paid, again
