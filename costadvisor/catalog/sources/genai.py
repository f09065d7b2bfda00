"""List prices of APIs from the data file of genai-prices: the file that its own `UpdatePrices` fetches.

Fetched here instead, because that has no bound on size or time, and changes the prices of the whole process at once.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

# What UpdatePrices.fetch reads the file with; the package's version is pinned, and a test reads a file of its form.
from genai_prices.types import ModelInfo, ModelPrice, Provider, StartDateConstraint, _providers_from_raw

from costadvisor.catalog.api_prices import package_models, package_price
from costadvisor.catalog.facts import ApiPrice, Rates
from costadvisor.catalog.recorded import Name
from costadvisor.catalog.sources.reading import Reading, UnreadableError

LEAST_SHARE = 0.5  # of the package's models: a list with fewer is not the whole list
LARGEST_USD = Decimal(1_000_000)


def genai_reading(content: bytes, *, origin: str, read_on: date) -> Reading:
    """Raises UnreadableError for a file that is not whole, or has a price that can be none."""
    try:
        raw = json.loads(content, parse_float=Decimal)
        if not isinstance(raw, list):
            raise UnreadableError("is no list of providers")
        providers = _providers_from_raw(raw)
    except UnreadableError:
        raise
    except Exception as error:  # whatever the package's reader stumbles over
        raise UnreadableError(f"cannot be read as prices of genai-prices ({type(error).__name__})") from None
    prices = dict(_prices(providers, read_on))
    _require_whole(prices)
    digest = hashlib.sha256(content).hexdigest()
    return Reading(source="genai-prices", origin=origin, sha256=digest, read_on=read_on, prices=prices)


def _prices(providers: list[Provider], on: date) -> Iterator[tuple[Name, ApiPrice]]:
    for provider in providers:
        for info in provider.models:
            try:
                price = package_price(provider, info, on)
            except Exception as error:  # see above
                said = f"has a price of {provider.id} / {info.id} that cannot be read"
                raise UnreadableError(f"{said} ({type(error).__name__})") from None
            if price is not None:
                _require_plausible(price)
                source = f"genai-prices, its data file read on {on}"
                yield (provider.id, info.id), replace(price, as_of=_begins(info, on), source=source)


def _begins(info: ModelInfo, on: date) -> date:
    """The last start that the list dates, else the day of reading: it does not say since when."""
    listed = [] if isinstance(info.prices, ModelPrice) else [price.constraint for price in info.prices]
    starts = [known.start_date for known in listed if isinstance(known, StartDateConstraint)]
    return max((start for start in starts if start <= on), default=on)


def _require_plausible(price: ApiPrice) -> None:
    for rates in (price.rates, price.batch, *(rates for _, rates in price.long_context)):
        for usd in _amounts(rates):
            if not (usd.is_finite() and 0 <= usd <= LARGEST_USD):
                raise UnreadableError(f"has the price {usd} for {price.provider} / {price.model}, which can be none")


def _amounts(rates: Rates | None) -> tuple[Decimal, ...]:
    return (rates.input_usd_per_mtok, rates.cache_read_usd_per_mtok, rates.output_usd_per_mtok) if rates else ()


def _require_whole(prices: dict[Name, ApiPrice]) -> None:
    known = package_models().keys()
    listed = len(known & prices.keys())
    if listed < LEAST_SHARE * len(known):
        raise UnreadableError(f"lists {listed:,} of the {len(known):,} models known; it is not the whole list")
