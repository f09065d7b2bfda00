"""The options of a case: what each kind says of itself. Decimal numbers are exact as written."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StrictBool

from costadvisor.economics.quantities import (
    AtLeastOne,
    Count,
    CountFromOne,
    HourFrom,
    HoursPerDay,
    HourTo,
    Money,
    Months,
    MonthsFromOne,
    NonNegative,
    Positive,
    SampleSize,
    Share,
)
from costadvisor.economics.vocabulary import Grade, Name, OptionId, Part, Privacy, left_out, unpriced

Plan = Literal["on_demand", "reserved_1y", "reserved_3y", "spot", "serverless", "owned"]
Policy = Literal["fixed", "scheduled", "window", "scale_to_zero"]


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


class PriceWindow(Part):
    """Hours of every day, in UTC, in which tokens cost `price_factor` times the list; may run over midnight."""

    from_hour_utc: HourFrom
    to_hour_utc: HourTo
    price_factor: NonNegative


class Prices(Part):
    """List prices of an API. A cached price is needed only where input is cached; it is never taken as 0.

    Input that is written to the provider's cache costs the input price where no price of its own is given.
    """

    input_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None = None
    output_usd_per_mtok: Money
    batch_discount: Share = Decimal(0)
    usd_per_request: Money = Decimal(0)
    tiers: Annotated[tuple[LongContextTier, ...], Field(max_length=10)] = ()
    cache_write_usd_per_mtok: Annotated[Money | None, unpriced] = None
    windows: Annotated[tuple[PriceWindow, ...], Field(max_length=10), left_out] = ()


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


class Spot(Part):
    """What a spot price leaves unsaid: interruptions of a replica, and the price while no spot machine is to be had."""

    interruptions_per_month: NonNegative = Decimal("0.2")
    unavailable_share: Share = Decimal("0.2")
    fallback_usd_per_hour: Money


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
    spot: Annotated[Spot | None, left_out] = None


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
