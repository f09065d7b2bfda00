"""What the catalog page lists: each price with its source and its age, newest known on that day."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costadvisor.catalog.ages import Kind, age_days, is_stale
from costadvisor.catalog.api_prices import UnknownPriceError, api_price_get, api_price_names
from costadvisor.catalog.facts import ApiPrice, GpuOffer, newest_offers
from costadvisor.catalog.models import PriceKind, Quote
from costadvisor.catalog.snapshot import Catalog

API_PRICES_SHOWN = 50


@dataclass(frozen=True)
class Dated:
    """A day, and how long ago that was."""

    as_of: date
    age_days: int
    stale: bool


@dataclass(frozen=True)
class OfferLine:
    """`before` is the same machine's price before this one; None where only one is known."""

    offer: GpuOffer
    dated: Dated
    before: GpuOffer | None

    @property
    def plan(self) -> str:
        return self.offer.plan.replace("_", " ")


@dataclass(frozen=True)
class ApiLine:
    price: ApiPrice
    dated: Dated


@dataclass(frozen=True)
class QuoteLine:
    """`standing` is what it does on that day, in words; `dated` where it is in use."""

    quote: Quote
    standing: str
    dated: Dated | None


@dataclass(frozen=True)
class HostLine:
    """`price` is None where no price is known on that day."""

    model: str
    provider: str
    provider_model: str
    price: ApiPrice | None
    dated: Dated | None


def offer_lines(catalog: Catalog, on: date, gpu: str = "") -> list[OfferLine]:
    """By GPU, then the price of one GPU. A machine's earlier rows are its history."""
    shown = [offer for offer in newest_offers(catalog.gpu_offers, on) if gpu in ("", offer.gpu)]
    shown.sort(key=lambda offer: (offer.gpu, offer.plan, offer.usd_per_gpu_hour or Decimal(0), offer.provider))
    return [OfferLine(offer, dated(offer.as_of, on, "gpu"), _before(catalog, offer)) for offer in shown]


def host_lines(catalog: Catalog, on: date) -> Iterator[HostLine]:
    """Who serves the weights of each open model, and for how much."""
    named = dict.fromkeys((host.model, host.provider, host.provider_model) for host in catalog.hosted_models)
    for model, provider, provider_model in sorted(named):
        price = _price(catalog, provider, provider_model, on)
        yield HostLine(model, provider, provider_model, price, dated(price.as_of, on, "api") if price else None)


def api_lines(catalog: Catalog, on: date, asked: str) -> tuple[list[ApiLine], int]:
    """List prices of the models whose provider or name has all of the words, and how many such there are.

    Nothing asked, nothing listed: the package knows more than a thousand.
    """
    words = asked.lower().split()
    known = dict.fromkeys([*api_price_names(), *catalog.recorded.prices])
    names = [(p, m) for p, m in known if words and all(word in f"{p} {m}".lower() for word in words)]
    prices = (_price(catalog, provider, model, on) for provider, model in names[:API_PRICES_SHOWN])
    return [ApiLine(price, dated(price.as_of, on, "api")) for price in prices if price], len(names)


def quote_lines(quotes: Iterable[Quote], on: date) -> list[QuoteLine]:
    """In use first, then what is still to come, ended or was withdrawn."""
    lines = [_quote_line(quote, on) for quote in quotes]
    return sorted(lines, key=lambda line: line.dated is None)


def _quote_line(quote: Quote, on: date) -> QuoteLine:
    if quote.withdrawn_at is not None:
        return QuoteLine(quote, f"withdrawn on {quote.withdrawn_at:%Y-%m-%d}", None)
    if quote.valid_from > on:
        return QuoteLine(quote, f"from {quote.valid_from} on", None)
    if quote.valid_to is not None and quote.valid_to < on:
        return QuoteLine(quote, f"ended on {quote.valid_to}", None)
    known = quote.valid_from if quote.valid_to is None else on  # one with an end holds until then
    kind: Kind = "api" if quote.kind == PriceKind.API else "gpu"
    return QuoteLine(quote, "in use", dated(known, on, kind))


def dated(as_of: date, on: date, kind: Kind) -> Dated:
    return Dated(as_of, age_days(as_of, on), is_stale(as_of, on, kind))


def _before(catalog: Catalog, offer: GpuOffer) -> GpuOffer | None:
    machine = (offer.provider, offer.offer, offer.region, offer.plan)
    earlier = [
        known
        for known in catalog.gpu_offers
        if (known.provider, known.offer, known.region, known.plan) == machine and known.as_of < offer.as_of
    ]
    return max(earlier, key=lambda known: known.as_of, default=None)


def _price(catalog: Catalog, provider: str, model: str, on: date) -> ApiPrice | None:
    try:
        return api_price_get(provider=provider, model=model, on=on, catalog=catalog)
    except UnknownPriceError:
        return None
