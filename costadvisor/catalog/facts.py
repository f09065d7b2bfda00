"""What the catalog knows: facts, each with the day it was true and where it was read. Money is Decimal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

PLANS = ("on_demand", "reserved_1y", "reserved_3y", "spot", "serverless")
CONFIDENCES = ("high", "medium", "low")


@dataclass(frozen=True)
class Source:
    """Where facts were read, and on what terms they may be shown."""

    id: str
    name: str
    licence: str
    note: str


@dataclass(frozen=True)
class Rates:
    """USD per million tokens; cached input without a price of its own is billed as input."""

    input_usd_per_mtok: Decimal
    cached_input_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal

    @property
    def cache_read_usd_per_mtok(self) -> Decimal:
        cached = self.cached_input_usd_per_mtok
        return self.input_usd_per_mtok if cached is None else cached


@dataclass(frozen=True)
class ApiPrice:
    """A provider's list price of one model on one day.

    `long_context` holds (tokens, rates): a request with more input than that pays those rates for all of its
    tokens. `batch` is None where no batch price is known for that day; so are the prices of cache writes.
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

    provider: str
    offer: str
    gpu: str
    form_factor: str
    gpus: int
    gpu_memory_gib: int
    vcpus: int | None
    region: str
    plan: str
    usd_per_hour: Decimal
    as_of: date
    source: str
    confidence: str
    note: str

    @property
    def usd_per_gpu_hour(self) -> Decimal | None:
        """None for a machine without a GPU."""
        return self.usd_per_hour / self.gpus if self.gpus else None


@dataclass(frozen=True)
class OpenModel:
    """The shape of a model whose weights can be had; parameters are counted from the dimensions."""

    model: str
    licence: str
    params_total: int
    params_active: int
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context_tokens: int
    kv_bytes_per_token_bf16: int
    as_of: date
    source: str
    confidence: str
    note: str


@dataclass(frozen=True)
class HostedModel:
    """A provider that serves an open model's weights; genai-prices has the prices where `rates` is None."""

    model: str
    provider: str
    provider_model: str
    rates: Rates | None
    as_of: date | None
    source: str
    note: str


@dataclass(frozen=True)
class PublishedThroughput:
    """One level of a published, closed-loop measurement: `concurrency` requests always in flight.

    Statistics of latency are named as published (`p50`, `p99`, `p50 of gaps`): they are not the same thing.
    """

    series: str
    engine: str
    engine_version: str
    model: str
    gpu: str
    form_factor: str
    gpus: int
    dtype: str
    input_tokens: int
    output_tokens: int
    concurrency: int
    output_tokens_per_s: float
    ttft_ms: float | None
    ttft_stat: str
    tpot_ms: float | None
    tpot_stat: str
    as_of: date
    source: str
    note: str

    @property
    def requests_per_s(self) -> float:
        return self.output_tokens_per_s / self.output_tokens


@dataclass(frozen=True)
class QualityScore:
    """A published score in 0..1 over `n` samples; scores of different harnesses compare only roughly."""

    model: str
    measure: str
    score: float
    n: int | None
    setting: str
    as_of: date
    source: str
    confidence: str
    note: str


@dataclass(frozen=True)
class OpexFact:
    """A published range of an operating cost or rate."""

    category: str
    item: str
    low: Decimal
    typical: Decimal
    high: Decimal
    unit: str
    as_of: date
    source: str
    confidence: str
    note: str


def newest_offers(offers: Sequence[GpuOffer], on: date) -> tuple[GpuOffer, ...]:
    """Of each machine and plan the newest offer known on that day; later ones are not yet known then."""
    newest: dict[tuple[str, str, str, str], GpuOffer] = {}
    for offer in sorted(offers, key=lambda offer: offer.as_of):
        if offer.as_of <= on:
            newest[offer.provider, offer.offer, offer.region, offer.plan] = offer
    return tuple(newest.values())
