"""Prices known beside the snapshot and the package: what refreshes recorded, and an organization's own quotes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from costadvisor.catalog.facts import ApiPrice, GpuOffer, Rates

Name = tuple[str, str]  # provider and model


@dataclass(frozen=True)
class QuotedPrice:
    """`rates` of an API, or the rent of a machine with its `gpus`. One with an end holds until then; an open one is
    known of its start."""

    provider: str
    item: str
    plan: str
    rates: Rates | None
    batch_discount: Decimal | None
    usd_per_hour: Decimal | None
    gpus: int
    valid_from: date
    valid_to: date | None
    source: str

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)

    def rent(self, gpus: int) -> Decimal:
        """USD an hour of so many GPUs."""
        return (self.usd_per_hour or Decimal(0)) * gpus / self.gpus

    def known_on(self, on: date) -> date:
        return self.valid_from if self.valid_to is None else on


@dataclass(frozen=True)
class Recorded:
    """As recorded for one day. `prices` and `offers` by the day each began; `confirmed` are the days on which a list
    last had them; `quotes` with the last entered first."""

    prices: Mapping[Name, Sequence[ApiPrice]] = field(default_factory=dict)
    confirmed: Mapping[Name, date] = field(default_factory=dict)
    offers: Sequence[GpuOffer] = ()
    quotes: Sequence[QuotedPrice] = ()

    def price(self, name: Name, on: date, *, after: date) -> ApiPrice | None:
        """The newest that began by `on`, and later than `after`; None for none."""
        known = [price for price in self.prices.get(name, ()) if after < price.as_of <= on]
        return known[-1] if known else None

    def dated(self, price: ApiPrice, on: date) -> ApiPrice:
        """Known of the day on which a list last had it, where that is later than its own."""
        confirmed = self.confirmed.get((price.provider, price.model))
        return price if confirmed is None or not price.as_of < confirmed <= on else replace(price, as_of=confirmed)

    def quoted_api(self, provider: str, model: str, on: date) -> QuotedPrice | None:
        wanted = (provider.lower(), model.lower())
        return next(
            (q for q in self.quotes if q.rates and (q.provider.lower(), q.item.lower()) == wanted and q.holds(on)), None
        )

    def quoted_rents(self, gpu: str, plan: str, on: date) -> list[QuotedPrice]:
        """Of each provider the last quote that holds, the lowest rent first."""
        newest: dict[str, QuotedPrice] = {}
        for quote in self.quotes:
            if quote.usd_per_hour is not None and (quote.item, quote.plan) == (gpu, plan) and quote.holds(on):
                newest.setdefault(quote.provider.lower(), quote)
        return sorted(newest.values(), key=lambda quote: quote.rent(1))
