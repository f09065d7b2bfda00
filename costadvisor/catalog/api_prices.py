"""List prices of APIs by date: from the genai-prices package, then from our own snapshot of hosts.

Source: https://github.com/pydantic/genai-prices (MIT). The package never asks a network here.
"""

import difflib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, StartDateConstraint, TieredPrices

from costadvisor.catalog.facts import ApiPrice, Rates
from costadvisor.catalog.snapshot import Catalog, snapshot

# The newest check of a price that the pinned release notes: of later days it gives its last word, not news.
PACKAGE_CHECKED_ON = date(2026, 11, 9)
SOURCE = f"genai-prices {genai_prices.__version__}"
MTOK = Decimal(1_000_000)
BATCH = {"processing": "batch"}
HALF_HOURS = [(hour, minute) for hour in range(24) for minute in (15, 45)]


class UnknownPriceError(LookupError):
    """No price is known for this provider, model and day."""


def api_price_get(*, provider: str, model: str, on: date, catalog: Catalog | None = None) -> ApiPrice:
    """The list price on that day, with the source it was read from.

    Raises UnknownPriceError with what could be meant instead: a missing price is never 0.
    """
    known, found = catalog or snapshot(), _find(provider, model)
    name = (found[0].id, found[1].id) if found else (provider, model)
    # a model that is new has a name of its own, which the package may take for an older one's
    new = known.recorded.price((provider, model), on, after=PACKAGE_CHECKED_ON)
    price = new or known.recorded.price(name, on, after=PACKAGE_CHECKED_ON)
    if price is None and found:
        price = package_price(*found, on)
    price = price or _hosted_price(known, provider, model, on)
    if price is None:
        raise UnknownPriceError(_unknown(provider, model, on))
    return known.recorded.dated(price, on)


def api_price_names() -> list[tuple[str, str]]:
    """Provider and model of every price of the package."""
    return [(provider.id, info.id) for provider in get_snapshot().providers for info in provider.models]


def package_models() -> dict[tuple[str, str], tuple[Provider, ModelInfo]]:
    """Each model of the package by the ids of its provider and its own."""
    return {(known.id, info.id): (known, info) for known in get_snapshot().providers for info in known.models}


def price_usage(
    *,
    provider: str,
    model: str,
    on: date,
    input_uncached: int,
    cache_read: int,
    output: int,
    requests: int | None = None,
    batch: bool = False,
    cache_write_5m: int = 0,
    cache_write_1h: int = 0,
) -> Decimal | None:
    """What this usage costs at list price on that day, in USD; None where a price it needs is not known.

    Tokens are totals over all the requests, each kind counted once. Long-context rates go by the mean
    request, because a bill does not say how long each one was; without `requests` they are not applied.
    """
    try:
        price = api_price_get(provider=provider, model=model, on=on)
    except UnknownPriceError:
        return None
    inputs = input_uncached + cache_read + cache_write_5m + cache_write_1h
    rates = price.batch if batch else price.rates_for(inputs / requests if requests else 0)
    if rates is None:
        return None
    charges = [
        (input_uncached, rates.input_usd_per_mtok),
        (cache_read, rates.cache_read_usd_per_mtok),
        (cache_write_5m, price.cache_write_5m_usd_per_mtok),
        (cache_write_1h, price.cache_write_1h_usd_per_mtok),
        (output, rates.output_usd_per_mtok),
    ]
    if any(tokens and rate is None for tokens, rate in charges):
        return None
    tokens_usd = sum((tokens * rate / MTOK for tokens, rate in charges if rate is not None), Decimal(0))
    return tokens_usd + price.usd_per_request * (requests or 0)


def _find(provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
    """By the package's own matching of names, or by the package's own id of the model."""
    try:
        return get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        listed = [p for p in get_snapshot().providers if p.id == provider]
        return next(((p, info) for p in listed for info in p.models if info.id == model), None)


def _noon(on: date) -> datetime:
    """A moment of the day: noon, when off-peak prices do not apply."""
    return datetime.combine(on, time(12), UTC)


def package_price(provider: Provider, info: ModelInfo, on: date) -> ApiPrice | None:
    """Of that day; None for a model that is not priced by the token."""
    prices = info.get_prices(_noon(on))
    rates = _rates(prices, 0)
    if rates is None:
        return None
    thousand_requests = _at(prices.requests_kcount, 0)
    return ApiPrice(
        provider=provider.id,
        model=info.id,
        rates=rates,
        long_context=_long_context(prices),
        batch=_batch(info, on),
        cache_write_5m_usd_per_mtok=_at(prices.cache_write_mtok, 0),
        cache_write_1h_usd_per_mtok=_at(prices.cache_write_1h_mtok, 0),
        usd_per_request=thousand_requests / 1000 if thousand_requests else Decimal(0),
        as_of=_known_on(info, on),
        source=SOURCE,
        confidence="high",
        windows=tuple(_windows(info, on, rates)),
    )


def _windows(info: ModelInfo, on: date, noon: Rates) -> Iterator[tuple[int, int, Decimal]]:
    """Hours of the day with other prices than at noon. Of input's and output's change the dearer, so it never flatters;
    an hour in which the price changes has the mean of its halves."""
    if isinstance(info.prices, ModelPrice) or not noon.input_usd_per_mtok or not noon.output_usd_per_mtok:
        return
    halves = [_factor(info, datetime.combine(on, time(hour, minute), UTC), noon) for hour, minute in HALF_HOURS]
    hours = [(early + late) / 2 for early, late in zip(halves[::2], halves[1::2], strict=True)]
    for factor, alike in groupby(range(24), key=hours.__getitem__):
        first, *more = alike
        if factor != 1:
            yield first, (more or [first])[-1] + 1, factor


def _factor(info: ModelInfo, at: datetime, noon: Rates) -> Decimal:
    rates = _rates(info.get_prices(at), 0)
    if rates is None:
        return Decimal(1)
    return max(rates.input_usd_per_mtok / noon.input_usd_per_mtok, rates.output_usd_per_mtok / noon.output_usd_per_mtok)


def _known_on(info: ModelInfo, on: date) -> date:
    """A day on which the package knows the price of that day to hold: the day itself from the first start it dates on.

    Nothing says since when an earlier price held: it is known of the last day before that start, or of the check.
    """
    listed = [] if isinstance(info.prices, ModelPrice) else [price.constraint for price in info.prices]
    first = min((known.start_date for known in listed if isinstance(known, StartDateConstraint)), default=None)
    if first is not None and first <= on:
        return min(on, PACKAGE_CHECKED_ON)
    return PACKAGE_CHECKED_ON if first is None else min(first - timedelta(days=1), PACKAGE_CHECKED_ON)


def _long_context(prices: ModelPrice) -> tuple[tuple[int, Rates], ...]:
    kinds = (prices.input_mtok, prices.cache_read_mtok, prices.output_mtok)
    starts = {tier.start for kind in kinds if isinstance(kind, TieredPrices) for tier in kind.tiers}
    tiers = ((start, _rates(prices, start)) for start in sorted(starts))
    return tuple((start, rates) for start, rates in tiers if rates is not None)


def _batch(info: ModelInfo, on: date) -> Rates | None:
    """Batch prices in force on that day; None where the package knows none (it keeps no older history)."""
    variants = [variant for variant in info.price_variants or () if variant.when == BATCH]
    if not any(variant.constraint is None or variant.constraint.active(_noon(on)) for variant in variants):
        return None
    return _rates(info.get_prices(_noon(on), BATCH), 0)


def _rates(prices: ModelPrice, start: int) -> Rates | None:
    """Of a request just longer than `start` input tokens."""
    fresh, out = _at(prices.input_mtok, start), _at(prices.output_mtok, start)
    if fresh is None or out is None:
        return None
    return Rates(fresh, _at(prices.cache_read_mtok, start), out)


def _at(price: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= start]
    return reached[-1] if reached else price.base


def _hosted_price(catalog: Catalog, provider: str, model: str, on: date) -> ApiPrice | None:
    """The newest price of our own snapshot that was known on that day."""
    priced = [
        (host.as_of, host.rates, host.source)
        for host in catalog.hosted_models
        if (host.provider, host.provider_model) == (provider, model) and host.as_of and host.rates
    ]
    known = [price for price in priced if price[0] <= on]
    if priced and not known:
        first = min(as_of for as_of, _, _ in priced)
        raise UnknownPriceError(f"the first price of {provider} / {model} known is of {first}, later than {on}")
    if not known:
        return None
    as_of, rates, source = max(known, key=lambda price: price[0])
    return ApiPrice(
        provider=provider,
        model=model,
        rates=rates,
        long_context=(),
        batch=None,
        cache_write_5m_usd_per_mtok=None,
        cache_write_1h_usd_per_mtok=None,
        usd_per_request=Decimal(0),
        as_of=as_of,
        source=source,
        confidence="medium",
    )


def _unknown(provider: str, model: str, on: date) -> str:
    asked = f"no list price of {provider} / {model} is known for {on}"
    providers = {listed.id: listed for listed in get_snapshot().providers}
    if provider not in providers:
        return asked + _meant(difflib.get_close_matches(provider, providers, n=3))
    models = [listed.id for listed in providers[provider].models]
    return asked + _meant(difflib.get_close_matches(model, models, n=3))


def _meant(close: list[str]) -> str:
    return f"; did you mean {' or '.join(close)}?" if close else ""
