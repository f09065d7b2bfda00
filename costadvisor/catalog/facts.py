"""What the catalog knows: facts, each with the day it was true and where it was read. Money is Decimal.

The types of the fields also say how they are read from the snapshot's files: see `costadvisor.catalog.rows`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from costadvisor.catalog.rows import Count, Day, Money, Name, Number, Whole, choice

Plan = Annotated[str, choice("on_demand", "reserved_1y", "reserved_3y", "spot", "serverless")]
Confidence = Annotated[str, choice("high", "medium", "low")]


@dataclass(frozen=True)
class Source:
    """Where facts were read, and on what terms they may be shown."""

    id: Name
    name: Name
    licence: Name
    note: str


@dataclass(frozen=True)
class Rates:
    """USD per million tokens; cached input without a price of its own is billed as input."""

    input_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None
    output_usd_per_mtok: Money

    @property
    def cache_read_usd_per_mtok(self) -> Decimal:
        cached = self.cached_input_usd_per_mtok
        return self.input_usd_per_mtok if cached is None else cached


@dataclass(frozen=True)
class ApiPrice:
    """A provider's list price of one model on one day.

    `long_context` holds (tokens, rates): a request with more input than that pays those rates for all of its
    tokens. `batch` is None where no batch price is known for that day; so are the prices of cache writes. `rates` are
    those at noon; `windows` (from hour, to hour, factor on every token) hold others, in UTC.
    """

    provider: str
    model: str
    rates: Rates
    long_context: tuple[tuple[int, Rates], ...]
    batch: Rates | None
    cache_write_5m_usd_per_mtok: Decimal | None
    cache_write_1h_usd_per_mtok: Decimal | None
    usd_per_request: Decimal
    as_of: date
    source: str
    confidence: str
    windows: tuple[tuple[int, int, Decimal], ...] = ()

    def rates_for(self, input_tokens: float) -> Rates:
        """The rates of a request with this much input, cached tokens included."""
        rates = self.rates
        for above, long_rates in self.long_context:
            if input_tokens > above:
                rates = long_rates
        return rates

    @property
    def batch_discount(self) -> Decimal | None:
        """One share off every token: the smaller of the input's and the output's, so it never flatters."""
        standard, batch = self.rates, self.batch
        if batch is None or not standard.input_usd_per_mtok or not standard.output_usd_per_mtok:
            return None
        return 1 - max(
            batch.input_usd_per_mtok / standard.input_usd_per_mtok,
            batch.output_usd_per_mtok / standard.output_usd_per_mtok,
        )


@dataclass(frozen=True)
class GpuOffer:
    """One machine that can be rented: `usd_per_hour` is of the whole machine, all its GPUs."""

    provider: Name
    offer: Name
    gpu: Name
    form_factor: str
    gpus: Whole
    gpu_memory_gib: Whole
    vcpus: Whole | None
    region: str
    plan: Plan
    usd_per_hour: Money
    as_of: Day
    source: str
    confidence: Confidence
    note: str

    @property
    def usd_per_gpu_hour(self) -> Decimal | None:
        """None for a machine without a GPU."""
        return self.usd_per_hour / self.gpus if self.gpus else None


@dataclass(frozen=True)
class OpenModel:
    """The shape of a model whose weights can be had; parameters are counted from the dimensions."""

    model: Name
    licence: Name
    params_total: Count
    params_active: Count
    layers: Count
    hidden_size: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    vocab_size: Count
    context_tokens: Count
    kv_bytes_per_token_bf16: Count
    as_of: Day
    source: str
    confidence: Confidence
    note: str


@dataclass(frozen=True)
class HostedModel:
    """A provider that serves an open model's weights; genai-prices has the prices where `rates` is None."""

    model: Name
    provider: Name
    provider_model: Name
    rates: Rates | None
    as_of: Day | None
    source: str
    note: str


@dataclass(frozen=True)
class PublishedThroughput:
    """One level of a published, closed-loop measurement: `concurrency` requests always in flight.

    Statistics of latency are named as published (`p50`, `p99`, `p50 of gaps`): they are not the same thing.
    """

    series: Name
    engine: Name
    engine_version: Name
    model: Name
    gpu: Name
    form_factor: str
    gpus: Count
    dtype: Name
    input_tokens: Count
    output_tokens: Count
    concurrency: Count
    output_tokens_per_s: Number
    ttft_ms: Number | None
    ttft_stat: str
    tpot_ms: Number | None
    tpot_stat: str
    as_of: Day
    source: str
    note: str

    @property
    def requests_per_s(self) -> float:
        return self.output_tokens_per_s / self.output_tokens


@dataclass(frozen=True)
class QualityScore:
    """A published score in 0..1 over `n` samples; scores of different harnesses compare only roughly."""

    model: Name
    measure: Name
    score: Number
    n: Whole | None
    setting: str
    as_of: Day
    source: str
    confidence: Confidence
    note: str


@dataclass(frozen=True)
class OpexFact:
    """A published range of an operating cost or rate."""

    category: Name
    item: Name
    low: Money
    typical: Money
    high: Money
    unit: Name
    as_of: Day
    source: str
    confidence: Confidence
    note: str


def newest_offers(offers: Sequence[GpuOffer], on: date) -> tuple[GpuOffer, ...]:
    """Of each machine and plan the newest offer known on that day; later ones are not yet known then."""
    newest: dict[tuple[str, str, str, str], GpuOffer] = {}
    for offer in sorted(offers, key=lambda offer: offer.as_of):
        if offer.as_of <= on:
            newest[offer.provider, offer.offer, offer.region, offer.plan] = offer
    return tuple(newest.values())
