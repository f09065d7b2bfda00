"""Month 1's running cost as rows, each with its own arithmetic. The rows sum to the point exactly."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from costadvisor.economics.case import Case
from costadvisor.economics.costs import api_month, fleet_month, require_plausible, resolved_prices, week_hours
from costadvisor.economics.evaluation import Line
from costadvisor.economics.figures import count, plain, price
from costadvisor.economics.fleet import Week
from costadvisor.economics.options import ApiOption, SelfHostOption
from costadvisor.economics.values import Exact

# Thirds of a dollar have no last digit; cut here, any number of rows sums without rounding.
FINEST_USD = Decimal("1e-12")


def api_lines(case: Case, option: ApiOption) -> tuple[Line, ...]:
    """Rows that are 0 because nothing is cached, batched, charged by request or corrected are left out."""
    month, prices, workload = api_month(case, option, Exact(case)), resolved_prices(option), case.workload
    requests, cached = plain(workload.requests_per_month), workload.cached_input_share
    inputs = f"{requests} requests x {plain(workload.input_tokens.mean or 0)} tokens"
    outputs = f"{requests} requests x {plain(workload.output_tokens.mean or 0)} tokens"
    uncached = f"{inputs} x (1 - {cached})" if cached else inputs
    tiers = ", long-context tiers above" if prices.tiers else ""

    def per_mtok(usd: Decimal | None) -> str:
        return f"{price(usd or Decimal(0))} per million{tiers}"

    rows = (
        ("Input tokens", f"{uncached} x {per_mtok(prices.input_usd_per_mtok)}", month.uncached_input),
        ("Cached input", f"{inputs} x {cached} x {per_mtok(prices.cached_input_usd_per_mtok)}", month.cached_input),
        ("Output tokens", f"{outputs} x {per_mtok(prices.output_usd_per_mtok)}", month.output),
        ("Batch discount", f"-{workload.batchable_share} x {prices.batch_discount} x tokens", month.batch_saving),
        ("Requests", f"{requests} requests x {price(prices.usd_per_request)}", month.requests),
        ("Billed against list price", f"(k - 1) x the above, k = {option.reconciliation_factor}", month.reconciliation),
    )
    return tuple(_line(option.id, *row) for place, row in enumerate(rows) if row[2] or place == 0)


def fleet_lines(case: Case, option: SelfHostOption, week: Week) -> tuple[Line, ...]:
    """Rent, people and tools always; cold starts and overhead where there are any."""
    return tuple(_fleet_lines(case, option, week))


def _fleet_lines(case: Case, option: SelfHostOption, week: Week) -> Iterator[Line]:
    hours, start_hours = week_hours(case, option, week)
    month = fleet_month(option, Exact(case), hours, start_hours)
    hourly, people = price(option.hardware.usd_per_hour or Decimal(0)), option.operations
    yield _line(option.id, "GPU rent", f"{_hours_in_words(case, option, week)} x {hourly}", month.rent)
    if month.cold_starts:
        starts = f"{week.steps_up} starts a week x {plain(case.hours_per_month)}/168 weeks"
        formula = f"{starts} x {plain(option.scaling.cold_start_s)} s / 3600 x {hourly}"
        yield _line(option.id, "Cold starts", formula, month.cold_starts)
    if month.overhead:
        yield _line(option.id, "Overhead", f"{plain(people.overhead_share)} x GPU rent and cold starts", month.overhead)
    formula = f"{plain(people.fte)} FTE x ${plain(people.usd_per_fte_year)} a year / 12"
    yield _line(option.id, "People", formula, month.people)
    yield _line(option.id, "Tools and services", "a month, as given", month.tools)


def _line(option_id: str, label: str, formula: str, usd: Decimal) -> Line:
    require_plausible(option_id, usd)
    return Line(label=label, formula=formula, usd_per_month=usd.quantize(FINEST_USD, ROUND_HALF_UP))


def _hours_in_words(case: Case, option: SelfHostOption, week: Week) -> str:
    hours = plain(case.hours_per_month)
    if option.scaling.policy == "fixed":
        return f"{count(int(week.replicas[0]), 'replica')} x {hours} h"
    return f"{plain(int(week.replicas.sum()))} replica-hours a week x {hours}/168 weeks"
