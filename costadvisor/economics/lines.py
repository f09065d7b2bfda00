"""Month 1's running cost as rows, each with its own arithmetic. The rows sum to the point exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.costs import FleetMonth, api_month, fleet_month, require_plausible, resolved_prices
from costadvisor.economics.demand import SECONDS_PER_HOUR
from costadvisor.economics.evaluation import Line
from costadvisor.economics.figures import count, plain, price
from costadvisor.economics.options import ApiOption, ProvisionedOption, SelfHostOption
from costadvisor.economics.values import VOLUME, Exact

# Thirds of a dollar have no last digit; cut here, any number of rows sums without rounding.
FINEST_USD = Decimal("1e-12")


@dataclass(frozen=True)
class PaidWeek:
    """What is paid of a week: replica-hours, and replicas started. `replicas` where the same number runs all week."""

    replica_hours: Decimal
    starts: Decimal
    replicas: int | None = None


def api_lines(option: ApiOption, values: Exact) -> tuple[Line, ...]:
    """Rows that are 0 because nothing is cached, batched, charged by request or corrected are left out."""
    case = values.case
    month, prices, workload = api_month(case, option, values), resolved_prices(option), case.workload
    requests, cached = plain(values(VOLUME)), workload.cached_input_share
    inputs = f"{requests} requests x {plain(workload.input_tokens.mean or 0)} tokens"
    outputs = f"{requests} requests x {plain(workload.output_tokens.mean or 0)} tokens"
    written = workload.cache_write_input_share
    shares = " - ".join(f"{share}" for share in (cached, written) if share)
    uncached = f"{inputs} x (1 - {shares})" if shares else inputs
    tiers = ", long-context tiers above" if prices.tiers else ""

    written_usd = prices.cache_write_usd_per_mtok or prices.input_usd_per_mtok

    def per_mtok(usd: Decimal | None) -> str:
        return f"{price(usd or Decimal(0))} per million{tiers}"

    rows = (
        ("Input tokens", f"{uncached} x {per_mtok(prices.input_usd_per_mtok)}", month.uncached_input),
        ("Cached input", f"{inputs} x {cached} x {per_mtok(prices.cached_input_usd_per_mtok)}", month.cached_input),
        ("Cache writes", f"{inputs} x {written} x {per_mtok(written_usd)}", month.cache_writes),
        ("Output tokens", f"{outputs} x {per_mtok(prices.output_usd_per_mtok)}", month.output),
        ("Time-of-day prices", "(mean factor of the hours - 1) x tokens", month.time_of_day),
        ("Batch discount", f"-{workload.batchable_share} x {prices.batch_discount} x tokens", month.batch_saving),
        ("Requests", f"{requests} requests x {price(prices.usd_per_request)}", month.requests),
        ("Billed against list price", f"(k - 1) x the above, k = {option.reconciliation_factor}", month.reconciliation),
    )
    return tuple(line(option.id, *row) for place, row in enumerate(rows) if row[2] or place == 0)


def fleet_lines(option: SelfHostOption, values: Exact, week: PaidWeek) -> tuple[Line, ...]:
    """GPUs, people and tools; cold starts, power, colocation and overhead where there are any."""
    case = values.case
    weeks = case.hours_per_month / WEEK_HOURS
    hours = week.replica_hours * case.hours_per_month / WEEK_HOURS
    month = fleet_month(option, values, hours, week.starts * weeks * option.scaling.cold_start_s / SECONDS_PER_HOUR)
    return (*_gpu_lines(option, case, month, week), *_team_lines(option, month))


def _gpu_lines(option: SelfHostOption, case: Case, month: FleetMonth, week: PaidWeek) -> Iterator[Line]:
    hardware, hours = option.hardware, _hours_in_words(case, week)
    replicas = hours if week.replicas is None else count(week.replicas, "replica")
    hourly = _hourly_in_words(option, case)
    if hardware.plan != "owned":
        yield line(option.id, "GPU rent", f"{hours} x {hourly}", month.rent)
    elif month.rent:
        yield line(option.id, "Running cost", f"{hours} x {hourly}", month.rent)
    if month.amortization:
        value = f"{price(hardware.purchase_usd)} x (1 - {plain(hardware.residual_share)})"
        formula = f"{replicas} x {value} / {hardware.useful_life_months} months"
        yield line(option.id, "Amortization", formula, month.amortization)
    if month.power:
        kwh = f"{plain(hardware.power_kw)} kW x PUE {plain(hardware.pue)} x {price(hardware.usd_per_kwh)}"
        yield line(option.id, "Power", f"{hours} x {kwh}", month.power)
    if month.colocation:
        formula = f"{replicas} x {price(hardware.colocation_usd_per_month)}"
        yield line(option.id, "Colocation", formula, month.colocation)
    if month.cold_starts:
        starts = f"{plain(round(week.starts, 2))} starts a week x {plain(case.hours_per_month)}/168 weeks"
        formula = f"{starts} x {plain(option.scaling.cold_start_s)} s / 3600 x {hourly}"
        yield line(option.id, "Cold starts", formula, month.cold_starts)
    if month.overhead:
        yield line(option.id, "Overhead", f"{plain(option.operations.overhead_share)} x the above", month.overhead)


def _team_lines(option: SelfHostOption, month: FleetMonth) -> Iterator[Line]:
    people = option.operations
    formula = f"{plain(people.fte)} FTE x ${plain(people.usd_per_fte_year)} a year / 12"
    yield line(option.id, "People", formula, month.people)
    yield line(option.id, "Tools and services", "a month, as given", month.tools)


def provisioned_lines(option: ProvisionedOption, case: Case, units: int) -> tuple[Line, ...]:
    """Units around the clock."""
    formula = f"{count(units, 'unit')} x {plain(case.hours_per_month)} h x {price(option.usd_per_unit_hour)}"
    return (line(option.id, "Provisioned units", formula, units * case.hours_per_month * option.usd_per_unit_hour),)


def line(option_id: str, label: str, formula: str, usd: Decimal) -> Line:
    """A row; CaseError for one beyond any bill."""
    require_plausible(option_id, usd)
    return Line(label=label, formula=formula, usd_per_month=usd.quantize(FINEST_USD, ROUND_HALF_UP))


def of_part(name: str, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The rows of an option that another is made of: `Qwen3-8B on H100: GPU rent`."""
    return tuple(row.model_copy(update={"label": f"{name}: {row.label}"}) for row in lines)


def _hours_in_words(case: Case, week: PaidWeek) -> str:
    hours = plain(case.hours_per_month)
    if week.replicas is not None:
        return f"{count(week.replicas, 'replica')} x {hours} h"
    return f"{plain(round(week.replica_hours, 2))} replica-hours a week x {hours}/168 weeks"


def _hourly_in_words(option: SelfHostOption, case: Case) -> str:
    """`$2.50`; of spot `(0.8 x $1.50 + 0.2 x $2.50) x (1 + 0.2 x 120 s / 3600 / 730 h)`."""
    hardware, spot = option.hardware, option.hardware.spot
    listed = price(hardware.usd_per_hour or Decimal(0))
    if spot is None:
        return listed
    share = spot.unavailable_share
    paid = f"({plain(1 - share)} x {listed} + {plain(share)} x {price(spot.fallback_usd_per_hour)})"
    starts = f"{plain(spot.interruptions_per_month)} x {plain(option.scaling.cold_start_s)} s / 3600"
    return f"{paid} x (1 + {starts} / {plain(case.hours_per_month)} h)"
