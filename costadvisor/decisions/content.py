"""What a recommendation says, on a page and on paper: an evaluation and its case put into words and rounded figures.

Nothing is computed here that the evaluation does not hold, and nothing unknown is shown as 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from costadvisor.common.money import UNKNOWN, amount_text, money_in_prose
from costadvisor.decisions.bill import Bill, bill_of
from costadvisor.decisions.charts import allowed_break_evens
from costadvisor.decisions.text import percent
from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import (
    Evaluation,
    InputValue,
    OptionResult,
    RuleOfThumb,
    Sensitivity,
    Spread,
)
from costadvisor.economics.names import input_name, input_text, kind_name, names_by_id
from costadvisor.economics.options import Option

DASH = "–"
ZONES = {
    "below": "says that self-hosting rarely pays (under $1,000)",
    "between": "leaves the answer open (from $1,000 to $10,000)",
    "above": "says that self-hosting often pays (over $10,000)",
}
HASH_SHOWN = 12
ILLUSTRATIVE = "Illustrative data: made for demonstration, not anybody's bill."


@dataclass(frozen=True)
class Figure:
    label: str
    value: str
    range: str


@dataclass(frozen=True)
class OptionRow:
    name: str
    kind: str
    refusals: tuple[str, ...]
    month: str
    month_range: str
    total: str
    total_range: str
    saving: str
    saving_range: str
    usd_per_mtok: str
    replicas: str
    busy: str
    cheapest: str


@dataclass(frozen=True)
class BreakEvenRow:
    option: str
    message: str


@dataclass(frozen=True)
class SensitivityRow:
    input: str
    low: str
    high: str
    at_low: str
    at_high: str
    switches: str


@dataclass(frozen=True)
class InformationRow:
    input: str
    worth: str
    error: str
    cost: str


@dataclass(frozen=True)
class EvidenceRow:
    field: str
    grade: str
    source: str
    as_of: str


@dataclass(frozen=True)
class CheckRow:
    mark: str
    message: str


@dataclass(frozen=True)
class Content:
    name: str
    mark: str
    as_of: str
    sentence: str
    figures: tuple[Figure, ...]
    reasons: tuple[str, ...]
    ask: str
    rule_of_thumb: str
    horizon: str
    options: tuple[OptionRow, ...]
    bills: tuple[Bill, ...]
    break_even: tuple[BreakEvenRow, ...]
    sensitivity: tuple[SensitivityRow, ...]
    evpi: str
    information: tuple[InformationRow, ...]
    evidence: tuple[EvidenceRow, ...]
    limitations: tuple[str, ...]
    checks: tuple[CheckRow, ...]
    checks_passed: int
    case_sha256: str
    footer: str


def content_of(evaluation: Evaluation, case: Case) -> Content:
    names = names_by_id(case)
    options = {option.id: option for option in case.options}
    checks = [check for check in evaluation.checks if check.id != "master"]
    information = evaluation.value_of_information
    return Content(
        name=case.name or "Unnamed case",
        mark=ILLUSTRATIVE if "illustrative" in case.name.lower() else "",
        as_of=f"Prices as of {case.as_of.day} {case.as_of:%B %Y}",
        sentence=evaluation.verdict.sentence,
        figures=_figures(evaluation, case, names),
        reasons=evaluation.verdict.reasons,
        ask=_ask(evaluation, names),
        rule_of_thumb=_rule_of_thumb(evaluation.rule_of_thumb),
        horizon=f"{case.horizon_months} months",
        options=tuple(_option_row(row, options[row.id], names) for row in evaluation.options),
        bills=tuple(bill_of(row, case, names) for row in evaluation.options if row.lines),
        break_even=tuple(BreakEvenRow(names[row.option], row.message) for row in allowed_break_evens(evaluation)),
        sensitivity=tuple(_sensitivity(row, names) for row in evaluation.sensitivity),
        evpi=f"Knowing everything before deciding is worth {_prose(information.evpi_usd)}." if information else "",
        information=tuple(_information(row, names) for row in information.inputs) if information else (),
        evidence=tuple(
            EvidenceRow(input_name(row.field, names), row.grade, row.source, f"{row.as_of or DASH}")
            for row in evaluation.evidence
        ),
        limitations=evaluation.limitations,
        checks=tuple(CheckRow("passed" if check.ok else "FAILED", check.message) for check in checks),
        checks_passed=sum(check.ok for check in checks),
        case_sha256=evaluation.case_sha256,
        footer=f"{case.name} · case {evaluation.case_sha256[:HASH_SHOWN]} · prices as of {case.as_of.isoformat()}",
    )


def _figures(evaluation: Evaluation, case: Case, names: Mapping[str, str]) -> tuple[Figure, ...]:
    """What the best option and today's cost, what is saved, and how sure that is."""
    rows = {row.id: row for row in evaluation.options}
    best, today = evaluation.verdict.option, next(option.id for option in case.options if option.baseline)
    horizon = f"over {case.horizon_months} months"
    figures = [_figure(f"Today: {names[today]}, a month", rows[today].usd_per_month)]
    if best is None or best == today:
        figures.append(_figure(f"Total cost {horizon}", rows[today].tco_usd))
    else:
        figures.insert(0, _figure(f"Best: {names[best]}, a month", rows[best].usd_per_month))
        figures.append(_figure(f"Saved {horizon}", rows[best].npv_usd))
    if evaluation.verdict.confidence is not None:
        than = "every allowed API" if rows[best or today].kind == "self_host" else "serving the model ourselves"
        told = f"share of {evaluation.draws:,} draws in which it costs less than {than}"
        figures.append(Figure("Confidence", percent(evaluation.verdict.confidence), told))
    return tuple(figures)


def _figure(label: str, spread: Spread | None) -> Figure:
    if spread is None:
        return Figure(label, UNKNOWN, "")
    return Figure(label, _prose(spread.p50), f"{_prose(spread.p10)} to {_prose(spread.p90)}")


def _ask(evaluation: Evaluation, names: Mapping[str, str]) -> str:
    verdict = evaluation.verdict
    if verdict.choice == "not_enough_evidence":
        first = "; ".join(verdict.measure_next) or "what the sensitivity below puts first"
        return f"Approve learning more before deciding: {first}. Then ask again."
    if verdict.option is None:
        return "Decide which constraint to relax: the reasons above say what each would save."
    return (
        f"Approve {names[verdict.option]} for this workload, on the assumptions listed at the end. "
        "Decide again when the volume or a price leaves its range, or when the latency target changes."
    )


def _rule_of_thumb(rule: RuleOfThumb) -> str:
    """Empty where there is nothing to compare."""
    if rule.api_usd_per_month is None or rule.zone is None or rule.agrees is None:
        return ""
    floor, fits = rule.floor_usd_per_month, "this answer agrees with it" if rule.agrees else "this answer differs"
    said = ZONES[rule.zone] if rule.zone == "between" else f"{ZONES[rule.zone]}; {fits}"
    least = "" if floor is None else f" The smallest fleet of our own, with its people, costs {_prose(floor)} a month."
    return f"At {_prose(rule.api_usd_per_month)} of API spend a month the published rule of thumb {said}.{least}"


def _option_row(row: OptionResult, option: Option, names: Mapping[str, str]) -> OptionRow:
    replicas = row.replicas
    today = option.baseline
    return OptionRow(
        name=names[row.id],
        kind=kind_name(option) + (", today" if today else ""),
        refusals=tuple(refusal.message for refusal in row.refusals),
        month=_median(row.usd_per_month),
        month_range=_range(row.usd_per_month),
        total=_median(row.tco_usd),
        total_range=_range(row.tco_usd),
        saving=DASH if today else _median(row.npv_usd),
        saving_range="" if today else _range(row.npv_usd),
        usd_per_mtok=UNKNOWN if row.usd_per_mtok is None else amount_text(row.usd_per_mtok, places=3),
        replicas=DASH if replicas is None else _counts(replicas.min, replicas.max),
        busy=DASH if row.utilization is None else percent(row.utilization),
        cheapest=DASH if not row.allowed or row.p_cheapest is None else percent(row.p_cheapest),
    )


def _median(spread: Spread | None) -> str:
    return UNKNOWN if spread is None else amount_text(spread.p50, places=0)


def _range(spread: Spread | None) -> str:
    return "" if spread is None else f"{amount_text(spread.p10, places=0)} to {amount_text(spread.p90, places=0)}"


def _counts(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _sensitivity(row: Sensitivity, names: Mapping[str, str]) -> SensitivityRow:
    return SensitivityRow(
        input=input_name(row.input, names),
        low=input_text(row.input, row.low),
        high=input_text(row.input, row.high),
        at_low=amount_text(row.npv_low_usd, places=0),
        at_high=amount_text(row.npv_high_usd, places=0),
        switches=" and ".join(input_text(row.input, value) for value in row.switching_values) or "none in range",
    )


def _information(row: InputValue, names: Mapping[str, str]) -> InformationRow:
    return InformationRow(
        input=input_name(row.input, names),
        worth=amount_text(row.usd, places=0),
        error=amount_text(row.standard_error_usd, places=0),
        cost=amount_text(row.cost_to_learn_usd, places=0) if row.learnable else "can't be learned",
    )


def _prose(amount: Decimal) -> str:
    return money_in_prose(amount, "USD")
