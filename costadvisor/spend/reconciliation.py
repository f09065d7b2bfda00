"""What was billed against the list price of what was used: by provider, model and month, and by day. Pure.

    full price ─ cached ─ batch ─► priced at list ─ residual ─► billed          factor = billed ÷ priced

`full` is every token at the standard rate; `cached` and `batch` are what the list itself takes off for them. What is
left is the residual: a negotiated rate, a tier with prices of its own, use that one of the files does not have.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costadvisor.catalog.api_prices import UnknownPriceError, api_price_get, price_usage
from costadvisor.catalog.makers import seller_find
from costadvisor.common.money import money_text

_NO_SELLER = ("langfuse",)
_STANDARD_TIERS = ("", "default", "standard", "auto")
CLOSE = Decimal("0.02")


@dataclass(frozen=True)
class DayOfUse:
    """Sums of one day, model, source, tier and batch. `billed` and `credits` are of billed money only.

    `file_list` is what the bill itself says to be the list price of `file_billed`, a part of `billed`; `estimated` what
    a tool reckons without having been billed. `rate` as in a `UsageMonth`.
    """

    day: date
    provider: str
    model: str
    source: str
    tier: str
    batch: bool
    currency: str
    requests: int | None
    input_uncached: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    billed: Decimal | None
    credits: Decimal | None
    file_list: Decimal | None = None
    file_billed: Decimal | None = None
    estimated: Decimal | None = None
    rate: str = ""

    @property
    def tokens(self) -> int:
        return self.input_uncached + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.output


@dataclass(frozen=True)
class Priced:
    """At list: everything at the standard rate, and what caching and batch take off; None where no price is known."""

    full: Decimal
    cached: Decimal
    batch: Decimal

    @property
    def total(self) -> Decimal:
        return self.full - self.cached - self.batch


@dataclass(frozen=True)
class Tier:
    """Use of a tier with prices of its own: at standard list prices, and as billed where the bill names the tier."""

    name: str
    priced: Decimal
    billed: Decimal | None

    def __str__(self) -> str:
        amounts = f"{money_text(self.priced, 'USD')} at list is its use"
        if self.billed is not None:
            amounts = f"{money_text(self.billed, 'USD')} billed, {money_text(self.priced, 'USD')} at list"
        return f"tier {self.name}, which has prices of its own: {amounts}"


@dataclass(frozen=True)
class Reconciled:
    """One line of the comparison. `priced` is None where a price or the tokens are not known: never 0.

    `negotiated` is by how much the bill is below the list price that it names itself; None where it names none.
    """

    when: date
    provider: str
    model: str
    currency: str
    billed: Decimal | None
    credits: Decimal
    priced: Priced | None
    tiers: tuple[Tier, ...]
    negotiated: Decimal | None
    estimated: Decimal | None
    why_not: str
    rates: tuple[str, ...] = ()

    @property
    def factor(self) -> Decimal | None:
        if self.billed is None or self.priced is None or not self.priced.total:
            return None
        return self.billed / self.priced.total

    @property
    def residual(self) -> Decimal | None:
        return None if self.billed is None or self.priced is None else self.billed - self.priced.total

    @property
    def explanation(self) -> str:
        """What is known to move the factor away from 1."""
        if self.factor is None:
            reckoned = self.estimated is not None and self.billed is None
            return f"{self.why_not}; a tool reckons {money_text(self.estimated, 'USD')}" if reckoned else self.why_not
        causes = [str(tier) for tier in self.tiers]
        if self.negotiated:
            causes.append(f"the bill names {money_text(self.negotiated, 'USD')} off its own list price")
        if abs(self.factor - 1) > CLOSE and not causes:
            causes = ["a negotiated rate, or use or money that one of the files does not have"]
        return "; ".join([*(causes or ["the list price explains it"]), *self.rates])


Price = Callable[[DayOfUse], Priced | None]


def at_list(use: DayOfUse) -> Priced | None:
    """By the catalog, at the prices of that day."""
    inputs = use.input_uncached + use.cache_read + use.cache_write_5m + use.cache_write_1h
    whole = _usd(use, batch=False, input_uncached=inputs)
    kinds = {name: getattr(use, name) for name in ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h")}
    standard = _usd(use, batch=False, **kinds)
    if whole is None or standard is None:
        return None
    # A batch without a list price of its own is compared at the standard one.
    final = _usd(use, batch=True, **kinds) if use.batch else standard
    return Priced(whole, whole - standard, standard - (standard if final is None else final))


def _usd(use: DayOfUse, *, batch: bool, **inputs: int) -> Decimal | None:
    tokens = {"input_uncached": 0, "cache_read": 0} | inputs
    return price_usage(
        provider=use.provider, model=use.model, on=use.day, output=use.output, requests=use.requests, batch=batch,
        **tokens,
    )  # fmt: skip


def listed_model(provider: str, model: str, on: date) -> str:
    """The catalog's own id, under which files that name a model differently meet; else the name as it is."""
    try:
        return api_price_get(provider=provider, model=model, on=on).model if model else ""
    except UnknownPriceError:
        return model


def reconcile(use: Iterable[DayOfUse], *, by_day: bool = False, price: Price = at_list) -> list[Reconciled]:
    """By month or by day, newest first, then by provider and model."""
    groups: dict[tuple[date, str, str], list[DayOfUse]] = defaultdict(list)
    for row in map(_sold, use):
        when = row.day if by_day else row.day.replace(day=1)
        groups[when, row.provider, listed_model(row.provider, row.model, row.day)].append(row)
    found = [_line(when, provider, model, rows, price) for (when, provider, model), rows in groups.items()]
    return sorted(found, key=lambda line: (-line.when.toordinal(), line.provider, line.model))


def _sold(use: DayOfUse) -> DayOfUse:
    """A log that names no provider is of the one that sells the model, so that it meets that one's bill and prices."""
    seller = seller_find(use.model) if use.provider in _NO_SELLER else None
    return use if seller is None else replace(use, provider=seller)


def _line(when: date, provider: str, model: str, rows: Sequence[DayOfUse], price: Price) -> Reconciled:
    currencies = sorted({row.currency for row in rows if row.currency})
    billed = _known(row.billed for row in rows)
    used = _of_one_source(rows)
    priced = [price(row) for row in used]
    known = [one for one in priced if one is not None]
    why_not = _why_not(currencies, billed, used, all_priced=len(known) == len(priced))
    compared = not why_not or why_not == _NOT_BILLED
    return Reconciled(
        when=when,
        provider=provider,
        model=model,
        currency=currencies[0] if len(currencies) == 1 else "",
        billed=sum(billed, Decimal(0)) if billed and len(currencies) == 1 else None,
        credits=sum((row.credits for row in rows if row.credits is not None), Decimal(0)),
        priced=_sum(known) if compared else None,
        tiers=tuple(_tiers(rows, used, price)) if compared else (),
        negotiated=_negotiated(rows),
        estimated=_total(row.estimated for row in used),
        why_not=why_not,
        rates=tuple(sorted({row.rate for row in rows if row.rate})),
    )


def _tiers(rows: Sequence[DayOfUse], used: Sequence[DayOfUse], price: Price) -> Iterator[Tier]:
    names = {row.tier for row in used if row.tier.lower() not in _STANDARD_TIERS and not row.batch}
    for name in sorted(names):
        priced = [one.total for one in (price(row) for row in used if row.tier == name) if one is not None]
        yield Tier(name, sum(priced, Decimal(0)), _total(row.billed for row in rows if row.tier == name))


def _negotiated(rows: Sequence[DayOfUse]) -> Decimal | None:
    listed, billed = _total(row.file_list for row in rows), _total(row.file_billed for row in rows)
    return None if listed is None or billed is None else listed - billed


def _known(amounts: Iterable[Decimal | None]) -> list[Decimal]:
    return [amount for amount in amounts if amount is not None]


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = _known(amounts)
    return sum(known, Decimal(0)) if known else None


_NOT_BILLED = "no billed money was imported for it"


def _why_not(
    currencies: Sequence[str], billed: Sequence[Decimal], used: Sequence[DayOfUse], *, all_priced: bool
) -> str:
    if not used:
        return "no tokens were imported for it"
    if not all_priced:
        return "no list price of it is known"
    if any(currency != "USD" for currency in currencies):
        foreign = " and ".join(currency for currency in currencies if currency != "USD")
        return f"list prices are in USD, the bill in {foreign}, and no rate of that month is confirmed"
    return "" if billed else _NOT_BILLED


def _of_one_source(rows: Sequence[DayOfUse]) -> list[DayOfUse]:
    """Use may have come in by two files: the one with most tokens tells it."""
    tokens: dict[str, int] = defaultdict(int)
    for row in rows:
        tokens[row.source] += row.tokens
    best = max(tokens, key=lambda source: tokens[source])
    return [row for row in rows if row.source == best and row.tokens]


def _sum(priced: Sequence[Priced]) -> Priced:
    return Priced(*(sum((getattr(one, name) for one in priced), Decimal(0)) for name in ("full", "cached", "batch")))
