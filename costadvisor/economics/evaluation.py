"""The answer to a case: `costadvisor.evaluation/1`. Frozen; the same case gives the same bytes.

Amounts are exact Decimals in memory and are rounded only when written: totals to the cent, derived rates to at least
six significant digits. Null is "not known" or "does not apply", never 0.
"""

import json
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from costadvisor.economics.quantities import Day
from costadvisor.economics.vocabulary import Grade

EVALUATION_SCHEMA = "costadvisor.evaluation/1"
CENT = Decimal("0.01")
FIGURE_DIGITS = 9
NOISE = 1e-15
RATE_DIGITS = 6


def _cents(amount: Decimal) -> str:
    return format(amount.quantize(CENT, ROUND_HALF_UP) + 0, "f")


def _rate(rate: Decimal) -> str:
    """At least six significant digits and at least cents."""
    places = max(2, RATE_DIGITS - 1 - rate.adjusted()) if rate else 2
    return format(rate.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0, "f")


def _digits(value: Decimal) -> str:
    """All of them, without trailing zeros."""
    return format(value.normalize() + 0, "f")


def _figure(value: float) -> float:
    """Nine significant digits: the same on every machine, whatever its last bits."""
    return 0.0 if abs(value) < NOISE else float(f"{value:.{FIGURE_DIGITS}g}")


_AMOUNT_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,}$"})
Usd = Annotated[Decimal, PlainSerializer(_cents), _AMOUNT_SCHEMA]
Exactly = Annotated[Decimal, PlainSerializer(_digits), WithJsonSchema({"type": "string", "pattern": r"^-?[0-9.]+$"})]
UsdRate = Annotated[Decimal, PlainSerializer(_rate), _AMOUNT_SCHEMA]
Figure = Annotated[float, PlainSerializer(_figure), WithJsonSchema({"type": "number"})]
Probability = Annotated[float, PlainSerializer(_figure), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]

AnswerKind = Literal[
    "api",
    "open_model_host",
    "provisioned",
    "serverless_gpu",
    "rented_gpu",
    "owned_gpu",
    "hybrid",
    "routed",
    "not_enough_evidence",
    "no_option_allowed",
]
RefusalCode = Literal["privacy", "quality", "slo", "commitment", "rate_limit", "max_replicas"]
Kind = Literal["api", "self_host", "hybrid", "routed", "provisioned"]
Zone = Literal["below", "between", "above"]


class Result(BaseModel):
    """A frozen part of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(Result):
    """`option` is the one to choose; under `not_enough_evidence` the one that leads; null where none is allowed.

    `confidence` is the share of draws in which it costs less than every allowed option of the other group.
    """

    choice: AnswerKind
    option: str | None
    confidence: Probability | None
    sentence: str
    reasons: tuple[str, ...]
    measure_next: tuple[str, ...]


class RuleOfThumb(Result):
    """Zones of monthly API spend: below $1k, $1k to $10k, above. Null where there is no API, no fleet or no answer."""

    api_usd_per_month: Usd | None
    zone: Zone | None
    floor_usd_per_month: Usd | None
    agrees: bool | None


class Spread(Result):
    """`point` is at the case's own values; percentiles are of the draws. The median is the headline."""

    point: Usd
    p10: Usd
    p50: Usd
    p90: Usd


class Refusal(Result):
    code: RefusalCode
    message: str


class Replicas(Result):
    """Of month 1's week as planned, spares included."""

    min: int
    mean: Figure
    max: int


class Term(Result):
    """An ingredient of a row: `value` exactly, in `unit`, as `text` in its formula; it multiplies unless it `divides`.

    `fields` are the numbers of the case that it was read from; where there are none, other rows or the plan gave it.
    """

    text: str
    value: Exactly
    unit: str
    divides: bool = False
    fields: tuple[str, ...] = ()


class Line(Result):
    """A row of month 1's running cost: its terms, multiplied and divided, are its amount to 10^-12 USD.

    Evaluations of before November 2026 have no terms.
    """

    label: str
    formula: str
    usd_per_month: Usd
    terms: tuple[Term, ...] = ()


class OptionResult(Result):
    """What an option costs, allowed or not. Costs are null where its capacity inside the SLO is none.

    `lcoai_usd_per_mtok` is the levelized cost: the point of `tco_usd` over the horizon's tokens, both discounted.
    """

    id: str
    kind: Kind
    allowed: bool
    refusals: tuple[Refusal, ...]
    usd_per_month: Spread | None
    tco_usd: Spread | None
    tco_undiscounted_usd: Spread | None
    npv_usd: Spread | None
    payback_months: int | None
    usd_per_mtok: UsdRate | None
    usd_per_request: UsdRate | None
    lcoai_usd_per_mtok: UsdRate | None = None
    replicas: Replicas | None
    utilization: Figure | None
    gpu_hours_per_month: Figure | None
    p_cheapest: Probability | None
    lines: tuple[Line, ...]


class Interval(Result):
    """Self-hosting is cheaper above `from` up to and including `to`; a null `to` is the end of the range, $10M."""

    from_api_usd_per_month: Usd
    to_api_usd_per_month: Usd | None
    from_requests_per_month: Figure
    to_requests_per_month: Figure | None
    from_tokens_per_month: Figure
    to_tokens_per_month: Figure | None


class BreakEven(Result):
    """Where an option with GPUs is cheaper than an API as traffic grows, its mix and shape fixed.

    `basis` month_1 compares running costs without setup, horizon the discounted totals with it; both are in dollars
    of month 1's API spend.
    """

    option: str
    versus: str
    basis: Literal["month_1", "horizon"]
    never: bool
    always_from_api_usd_per_month: Usd | None
    intervals: Annotated[tuple[Interval, ...], Field(max_length=20)]
    message: str


class Marginal(Result):
    n: int
    displaces_usd: Usd
    costs_usd: Usd
    fixed_usd: Usd
    tco_usd: Usd


class Hybrid(Result):
    option: str
    replicas: int
    marginal: tuple[Marginal, ...]


class Sensitivity(Result):
    """TCO of the recommended option less that of the best of the other group, with one input at its p10 and p90.

    A negative difference keeps the recommendation. `switching_value` is the sign change nearest to the input's
    median, null for none in range; `switching_values` are all of them.
    """

    input: str
    low: Figure
    high: Figure
    npv_low_usd: Usd
    npv_high_usd: Usd
    switching_value: Figure | None
    switching_values: tuple[Figure, ...]


class InputValue(Result):
    input: str
    usd: Usd
    standard_error_usd: Usd
    learnable: bool
    cost_to_learn_usd: Usd


class ValueOfInformation(Result):
    evpi_usd: Usd
    inputs: tuple[InputValue, ...]


class Check(Result):
    id: str
    ok: bool
    message: str


class EvidenceRow(Result):
    field: str
    grade: Grade
    source: str
    as_of: Day | None


class Evaluation(Result):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Annotated[Literal["costadvisor.evaluation/1"], Field(alias="schema")]
    case_sha256: str
    seed: int
    draws: int
    verdict: Verdict
    rule_of_thumb: RuleOfThumb
    options: tuple[OptionResult, ...]
    break_even: tuple[BreakEven, ...]
    hybrid: tuple[Hybrid, ...]
    sensitivity: tuple[Sensitivity, ...]
    value_of_information: ValueOfInformation | None
    checks: tuple[Check, ...]
    evidence: tuple[EvidenceRow, ...]
    limitations: tuple[str, ...]

    def to_json(self) -> bytes:
        """Canonical bytes: keys sorted, money as strings. The same case gives the same bytes."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
