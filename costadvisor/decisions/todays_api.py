"""Today's API as the bill shows it, and k: what was billed over what the same use costs at list price. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from costadvisor.catalog.api_prices import price_usage
from costadvisor.common.money import money_in_prose
from costadvisor.spend.month import UsageMonth, following, reaches_over

MONTHS_COMPARED = 3
K_DIGITS = Decimal("0.0001")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Reconciliation:
    """`k` over the last whole months that have tokens and a bill in US dollars; `low` and `high` of a single month."""

    k: Decimal
    billed_usd: Decimal
    priced_usd: Decimal
    first: date
    last: date
    low: Decimal
    high: Decimal
    rates: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """How far a month may be off, as far as these tell; None where they are one, or all alike."""
        return (self.low, self.k, self.high) if self.low < self.high else None

    @property
    def evidence(self) -> dict[str, Any]:
        months = f"{self.first:%b %Y}" if self.first == self.last else f"{self.first:%b %Y} to {self.last:%b %Y}"
        billed, priced = (money_in_prose(usd.quantize(CENT), "USD") for usd in (self.billed_usd, self.priced_usd))
        months += f"; {self.low:f} to {self.high:f} month by month" if self.bounds else ""
        return {
            "grade": "B",
            "basis": "billed",
            "source": "; ".join([f"{billed} for what lists at {priced}, {months}", *self.rates]),
            "as_of": (following(self.last) - timedelta(days=1)).isoformat(),
        }


def billed_models(usage: Iterable[UsageMonth]) -> list[tuple[str, str]]:
    """Providers' models that the bill has tokens of, the dearest first."""
    spent: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in usage:
        if row.model and row.has_tokens:
            spent[row.provider, row.model] += row.cost or 0
    return sorted(spent, key=lambda name: (-spent[name], name))


def reconcile(usage: Iterable[UsageMonth], *, provider: str, model: str) -> Reconciliation | None:
    """None where no whole month has both a cost and every count that its list price needs."""
    priced = [
        (month, billed, listed, {row.rate for row in rows if row.rate})
        for month, rows in _whole_months(usage, provider, model)
        for billed, listed in [(sum((row.cost or Decimal(0) for row in rows), Decimal(0)), _list_price(rows))]
        if listed
    ][-MONTHS_COMPARED:]
    if not priced:
        return None
    billed_usd = sum((billed for _, billed, *_ in priced), Decimal(0))
    priced_usd = sum((listed for _, _, listed, _ in priced), Decimal(0))
    k, each = _ratio(billed_usd, priced_usd), [_ratio(billed, listed) for _, billed, listed, _ in priced]
    if not k:
        return None
    rates = tuple(sorted(set[str]().union(*(used for *_, used in priced))))
    return Reconciliation(k, billed_usd, priced_usd, priced[0][0], priced[-1][0], min(k, *each), max(k, *each), rates)


def _ratio(billed: Decimal, listed: Decimal) -> Decimal:
    return (billed / listed).quantize(K_DIGITS).normalize()


def _whole_months(usage: Iterable[UsageMonth], provider: str, model: str) -> list[tuple[date, Sequence[UsageMonth]]]:
    """Months whose rows all carry tokens and US dollars: money of other use would make k say something else."""
    by_month: dict[date, list[UsageMonth]] = defaultdict(list)
    for row in usage:
        if (row.provider, row.model) == (provider, model):
            by_month[row.month].append(row)
    return [
        (month, rows)
        for month, rows in sorted(by_month.items())
        if all(row.has_tokens and row.currency == "USD" for row in rows) and reaches_over(month, rows)
    ]


def _list_price(rows: Sequence[UsageMonth]) -> Decimal | None:
    """None where a count or a price is missing."""
    prices = [_row_price(row) for row in rows]
    return None if None in prices else sum((price for price in prices if price is not None), Decimal(0))


def _row_price(row: UsageMonth) -> Decimal | None:
    if row.input_uncached is None or row.output is None:
        return None
    return price_usage(
        provider=row.provider,
        model=row.model,
        on=following(row.month) - timedelta(days=1),
        input_uncached=row.input_uncached,
        cache_read=row.cache_read or 0,
        output=row.output,
        requests=row.requests,
        cache_write_5m=row.cache_write_5m or 0,
        cache_write_1h=row.cache_write_1h or 0,
    )
