"""A case: what is bought or run today, what could be instead, and what each number may turn out to be.

`costadvisor.case/1`. A case *as written* may leave to others what they know: prices out of a catalog, lengths in a
trace, a capacity in a calibration record. A *resolved* case has, in the same shape,

- `prices` of every `api` option: input, output and (if any input is cached) cached input;
- `hardware.usd_per_hour` of every rented `self_host` option;
- `capacity` of every `self_host` option with `requests_per_s` (and better `low`, `high`, `grade`) or `tokens_per_s`.
  `requests_per_s` 0 says "no rate meets the SLO" and refuses the option; `record` names the record it rests on,
  and says that its burstiness is in the figure already;
- `input_tokens` and `output_tokens` with a `mean`; from a trace also `trace_sha256`, and for long-context tiers a
  `histogram` of tokens by share of requests;
- `evidence` by pointer: how good each number is and where it is from. What has none is shown as assumed, grade E.

Every model is frozen. Decimal numbers are exact as written; whole numbers are int.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from costadvisor.economics.options import Option
from costadvisor.economics.quantities import (
    AtLeastOne,
    Day,
    Draws,
    HoursPerMonth,
    Interest,
    Months,
    MonthsFromOne,
    NonNegative,
    PeakRatio,
    Positive,
    PriceDays,
    Rate,
    Seed,
    Share,
    UncertaintyBound,
)
from costadvisor.economics.vocabulary import Basis, Grade, Name, Note, OptionId, Part, Privacy, left_out

CASE_SCHEMA = "costadvisor.case/1"
WEEK_HOURS = 168


class Drift(Part):
    """Change of prices a year: -0.05 is 5 % cheaper after twelve months."""

    api_price_per_year: Rate = Decimal("-0.05")
    gpu_price_per_year: Rate = Decimal(0)


class LengthShare(Part):
    tokens: Positive
    share: Share


class Lengths(Part):
    """Tokens of a request. Written as a mean or as a trace; resolved it always has a mean.

    `histogram` (of a trace) says which share of requests has about how many tokens; it decides long-context tiers.
    """

    mean: AtLeastOne | None = None
    trace: Name | None = None
    histogram: Annotated[tuple[LengthShare, ...], Field(max_length=1000)] = ()
    trace_sha256: Name | None = None


class PeakToMean(Part):
    """Every day alike, peaking at 14:00 UTC, with this ratio of the busiest hour to the mean hour."""

    peak_to_mean: PeakRatio


Weights = Annotated[tuple[NonNegative, ...], Field(min_length=WEEK_HOURS, max_length=WEEK_HOURS)]


def _shape_kind(value: object) -> str:
    if isinstance(value, dict | PeakToMean):
        return "peak_to_mean"
    return "flat" if isinstance(value, str) else "weights"


HourlyShape = Annotated[
    Annotated[Literal["flat"], Tag("flat")]
    | Annotated[PeakToMean, Tag("peak_to_mean")]
    | Annotated[Weights, Tag("weights")],
    Discriminator(_shape_kind),
]


class Workload(Part):
    """The traffic. Shares are of input tokens (cached, cache_write) and of requests (batchable: may wait 24 hours)."""

    requests_per_month: AtLeastOne
    input_tokens: Lengths
    output_tokens: Lengths
    cached_input_share: Share = Decimal(0)
    cache_write_input_share: Annotated[Share, left_out] = Decimal(0)
    batchable_share: Share = Decimal(0)
    hourly_shape: HourlyShape = PeakToMean(peak_to_mean=Decimal(2))
    burstiness: Positive = Decimal(1)
    growth_per_month: Rate = Decimal(0)


class Slo(Part):
    """95th percentiles asked for; null asks nothing."""

    ttft_p95_ms: Positive | None = None
    tpot_p95_ms: Positive | None = None


class QualityGate(Part):
    """Non-inferior to the reference option by `margin` on the named measure."""

    measure: Name
    reference: OptionId
    margin: Share


class Constraints(Part):
    privacy: tuple[Privacy, ...] = ()
    min_quality: QualityGate | None = None
    max_commitment_months: Months | None = None


class Evidence(Part):
    """How good the number at a pointer is, and where it is from."""

    grade: Grade
    basis: Basis
    source: Note
    as_of: Day | None = None


class PriceAges(Part):
    """Days after which a price is to be checked before anybody signs on it: rents moved by a tenth in weeks."""

    api: PriceDays = 45
    gpu: PriceDays = 45


class Case(Part):
    schema_: Annotated[Literal["costadvisor.case/1"], Field(alias="schema")]
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    as_of: Day
    currency: Literal["USD"] = "USD"
    horizon_months: MonthsFromOne = 36
    discount_rate_per_year: Interest = Decimal("0.10")
    hours_per_month: HoursPerMonth = Decimal(730)
    seed: Seed = 7
    draws: Draws = 10_000
    drift: Drift = Drift()
    workload: Workload
    slo: Slo = Slo()
    constraints: Constraints = Constraints()
    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=20)]
    uncertainty: dict[str, tuple[UncertaintyBound, UncertaintyBound, UncertaintyBound]] = Field({}, max_length=200)
    evidence: dict[str, Evidence] = Field({}, max_length=500)
    price_max_age_days: PriceAges = Field(PriceAges(), exclude_if=lambda ages: ages == PriceAges())
