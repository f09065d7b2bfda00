"""Month 1's running cost as rows, each with its own arithmetic. The rows sum to the point exactly."""

from collections.abc import Iterator
from decimal import Decimal

from costadvisor.economics.case import ApiOption, Case, SelfHostOption
from costadvisor.economics.costs import api_month, fleet_month, resolved_prices, week_hours
from costadvisor.economics.evaluation import Line
from costadvisor.economics.figures import count, plain
from costadvisor.economics.fleet import Week
from costadvisor.economics.values import Exact


def api_lines(case: Case, option: ApiOption) -> tuple[Line, ...]:
    """Rows that are 0 because nothing is cached, batched, charged by request or corrected are left out."""
    month, prices, workload = api_month(case, option, Exact(case)), resolved_prices(option), case.workload
    requests, cached = plain(workload.requests_per_month), workload.cached_input_share
    inputs = f"{requests} requests x {plain(workload.input_tokens.mean or 0)} tokens"
    outputs = f"{requests} requests x {plain(workload.output_tokens.mean or 0)} tokens"
    tiers = ", long-context tiers above" if prices.tiers else ""

    def per_mtok(usd: Decimal | None) -> str:
        return f"${plain(usd or 0)} per million{tiers}"

    rows = (
        ("Input tokens", f"{inputs} x (1 - {cached}) x {per_mtok(prices.input_usd_per_mtok)}", month.uncached_input),
        ("Cached input", f"{inputs} x {cached} x {per_mtok(prices.cached_input_usd_per_mtok)}", month.cached_input),
        ("Output tokens", f"{outputs} x {per_mtok(prices.output_usd_per_mtok)}", month.output),
        ("Batch discount", f"-{workload.batchable_share} x {prices.batch_discount} x tokens", month.batch_saving),
        ("Requests", f"{requests} requests x ${plain(prices.usd_per_request)}", month.requests),
        ("Billed against list price", f"(k - 1) x the above, k = {option.reconciliation_factor}", month.reconciliation),
    )
    kept = [row for place, row in enumerate(rows) if row[2] or place == 0]
    return tuple(Line(label=label, formula=formula, usd_per_month=usd) for label, formula, usd in kept)


def fleet_lines(case: Case, option: SelfHostOption, week: Week) -> tuple[Line, ...]:
    """Rent, people and tools always; cold starts and overhead where there are any."""
    return tuple(_fleet_lines(case, option, week))


def _fleet_lines(case: Case, option: SelfHostOption, week: Week) -> Iterator[Line]:
    hours, start_hours = week_hours(case, option, week)
    month = fleet_month(option, Exact(case), hours, start_hours)
    price, people = f"${plain(option.hardware.usd_per_hour or 0)}", option.operations
    yield Line(label="GPU rent", formula=f"{_hours_in_words(case, option, week)} x {price}", usd_per_month=month.rent)
    if month.cold_starts:
        starts = f"{week.steps_up} starts a week x {plain(case.hours_per_month)}/168 weeks"
        formula = f"{starts} x {plain(option.scaling.cold_start_s)} s / 3600 x {price}"
        yield Line(label="Cold starts", formula=formula, usd_per_month=month.cold_starts)
    if month.overhead:
        formula = f"{plain(people.overhead_share)} x GPU rent and cold starts"
        yield Line(label="Overhead", formula=formula, usd_per_month=month.overhead)
    formula = f"{plain(people.fte)} FTE x ${plain(people.usd_per_fte_year)} a year / 12"
    yield Line(label="People", formula=formula, usd_per_month=month.people)
    yield Line(label="Tools and services", formula="as given", usd_per_month=month.tools)


def _hours_in_words(case: Case, option: SelfHostOption, week: Week) -> str:
    hours = plain(case.hours_per_month)
    if option.scaling.policy == "fixed":
        return f"{count(int(week.replicas[0]), 'replica')} x {hours} h"
    return f"{plain(int(week.replicas.sum()))} replica-hours a week x {hours}/168 weeks"
