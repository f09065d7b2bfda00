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

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StringConstraints, Tag

from costadvisor.economics.quantities import (
    AtLeastOne,
    Count,
    CountFromOne,
    Day,
    Draws,
    HoursPerDay,
    HoursPerMonth,
    Interest,
    Money,
    Months,
    MonthsFromOne,
    NonNegative,
    PeakRatio,
    Positive,
    Rate,
    SampleSize,
    Seed,
    Share,
    UncertaintyBound,
)

CASE_SCHEMA = "costadvisor.case/1"
WEEK_HOURS = 168

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Note = Annotated[str, StringConstraints(max_length=2000)]
OptionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+:-]{0,63}$")]
Grade = Literal["A", "B", "C", "D", "E"]
Basis = Literal["billed", "measured", "imported", "estimated", "assumed"]
Privacy = Literal["no_training", "zero_retention", "in_region", "own_vpc", "on_prem"]
Plan = Literal["on_demand", "reserved_1y", "reserved_3y", "spot", "serverless", "owned"]
Policy = Literal["fixed", "scheduled", "window", "scale_to_zero"]


class Part(BaseModel):
    """A frozen part of a case; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    """The traffic. Shares are of input tokens (cached) and of requests (batchable: may wait 24 hours)."""

    requests_per_month: AtLeastOne
    input_tokens: Lengths
    output_tokens: Lengths
    cached_input_share: Share = Decimal(0)
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


class Quality(Part):
    """A score as a share (0.83 = 83 % right) over `n` samples; null where the number of samples is unknown."""

    measure: Name
    score: Share
    n: SampleSize | None = None


class Latency(Part):
    """Stated or observed 95th percentiles of an API."""

    ttft_p95_ms: Positive | None = None
    tpot_p95_ms: Positive | None = None


class LongContextTier(Part):
    """Prices of a whole request whose input is longer than `over_input_tokens`."""

    over_input_tokens: Positive
    input_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None = None
    output_usd_per_mtok: Money


class Prices(Part):
    """List prices of an API. A cached price is needed only where input is cached; it is never taken as 0."""

    input_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None = None
    output_usd_per_mtok: Money
    batch_discount: Share = Decimal(0)
    usd_per_request: Money = Decimal(0)
    tiers: Annotated[tuple[LongContextTier, ...], Field(max_length=10)] = ()


class Choice(Part):
    """What every option has."""

    id: OptionId
    baseline: StrictBool = False


class ApiOption(Choice):
    """A provider's API; with `open_weights` the host of a model one could serve oneself."""

    kind: Literal["api"]
    provider: Name
    model: Name
    open_weights: StrictBool = False
    prices: Prices | None = None
    reconciliation_factor: Positive = Decimal(1)
    privacy: tuple[Privacy, ...] = ()
    quality: tuple[Quality, ...] = ()
    latency: Latency | None = None
    rate_limit_requests_per_s: Positive | None = None


class TokenRatio(Part):
    """This model's tokens for the same text and the same answer, against the workload's."""

    input: Positive = Decimal(1)
    output: Positive = Decimal(1)


class Hardware(Part):
    """One replica, all its GPUs together."""

    gpu: Name
    gpus_per_replica: CountFromOne = 1
    plan: Plan = "on_demand"
    usd_per_hour: Money | None = None
    commitment_months: Months = 0
    purchase_usd: Money = Decimal(0)
    useful_life_months: MonthsFromOne = 36
    residual_share: Share = Decimal(0)
    power_kw: NonNegative = Decimal(0)
    usd_per_kwh: Money = Decimal(0)
    pue: AtLeastOne = Decimal(1)
    colocation_usd_per_month: Money = Decimal(0)


class Capacity(Part):
    """Largest rate one replica sustains inside the SLO at this workload's own lengths.

    Written as `requests_per_s`, as `tokens_per_s` (input and output together; grade E unless a record says more)
    or as a `record` to read; resolved it has one of the first two. `low` and `high` are in the unit of the value.
    """

    requests_per_s: NonNegative | None = None
    tokens_per_s: NonNegative | None = None
    low: NonNegative | None = None
    high: NonNegative | None = None
    grade: Grade = "E"
    record: Name | None = None


class Scaling(Part):
    policy: Policy = "fixed"
    headroom: NonNegative = Decimal("0.15")
    min_replicas: CountFromOne = 1
    spare_replicas: Count = 1
    max_replicas: CountFromOne | None = None
    window_hours_per_day: HoursPerDay | None = None
    cold_start_s: NonNegative = Decimal(0)
    idle_timeout_s: NonNegative = Decimal(300)
    keep_warm: Count = 0


class Operations(Part):
    """People and tools; `overhead_share` multiplies the GPU bill, `setup_usd` falls once, in month 0."""

    fte: NonNegative = Decimal("0.25")
    usd_per_fte_year: Money = Decimal(200_000)
    usd_per_month: Money = Decimal(500)
    overhead_share: NonNegative = Decimal(0)
    setup_usd: Money = Decimal(25_000)


class SelfHostOption(Choice):
    """A model served on GPUs that the team rents or owns."""

    kind: Literal["self_host"]
    model: Name
    privacy: tuple[Privacy, ...] = ()
    quality: tuple[Quality, ...] = ()
    token_ratio: TokenRatio = TokenRatio()
    prefix_hit_share: Share = Decimal(0)
    hardware: Hardware
    capacity: Capacity | None = None
    scaling: Scaling = Scaling()
    operations: Operations = Operations()


class HybridOption(Choice):
    """Own base load, the rest to an API."""

    kind: Literal["hybrid"]
    base: OptionId
    overflow: OptionId


class RoutedOption(Choice):
    """The share that a small model serves well; the rest to the large one."""

    kind: Literal["routed"]
    small: OptionId
    large: OptionId
    small_share: Share


class ProvisionedOption(Choice):
    """Throughput units of a provider, paid by the hour."""

    kind: Literal["provisioned"]
    provider: Name
    model: Name
    usd_per_unit_hour: Money
    requests_per_s_per_unit: Positive
    min_units: CountFromOne = 1
    commitment_months: Months = 0
    privacy: tuple[Privacy, ...] = ()
    quality: tuple[Quality, ...] = ()
    latency: Latency | None = None


Option = Annotated[
    ApiOption | SelfHostOption | HybridOption | RoutedOption | ProvisionedOption, Field(discriminator="kind")
]


# The kinds that this version can cost.
CostedOption = ApiOption | SelfHostOption


class Evidence(Part):
    """How good the number at a pointer is, and where it is from."""

    grade: Grade
    basis: Basis
    source: Note
    as_of: Day | None = None


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
    uncertainty: Annotated[
        dict[str, tuple[UncertaintyBound, UncertaintyBound, UncertaintyBound]], Field(max_length=200)
    ] = {}
    evidence: Annotated[dict[str, Evidence], Field(max_length=500)] = {}
