"""Bills in other currencies in US dollars, at rates that a person confirmed for each month. Pure.

What was billed stays as it was billed; nothing here is stored. No rate is ever looked up or guessed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costadvisor.spend.formats.amounts import EXACT
from costadvisor.spend.formats.row import UsageRow
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.reconciliation import DayOfUse

DOLLARS = "USD"


@dataclass(frozen=True)
class Rate:
    """US dollars for one unit of a currency, for what was billed for a month; `as_of` is the rate's own day."""

    currency: str
    month: date
    usd: Decimal
    as_of: date
    source: str

    def __str__(self) -> str:
        return f"1 {self.currency} = {self.usd:f} USD on {self.as_of} ({self.source})"


Rates = Mapping[tuple[str, date], Rate]


def months_in_usd(months: Iterable[UsageMonth], rates: Rates) -> list[UsageMonth]:
    """Months of another currency in dollars where there is a rate, the others as they are."""
    return [_month_in_usd(month, rates.get((month.currency, month.month))) for month in months]


def _month_in_usd(month: UsageMonth, rate: Rate | None) -> UsageMonth:
    if rate is None:
        return month
    return replace(month, cost=_in_usd(month.cost, rate), currency=DOLLARS, rate=f"{rate}")


def days_in_usd(days: Iterable[DayOfUse], rates: Rates) -> list[DayOfUse]:
    """Days likewise, each at its month's rate."""
    return [_day_in_usd(day, rates.get((day.currency, day.day.replace(day=1)))) for day in days]


def _day_in_usd(day: DayOfUse, rate: Rate | None) -> DayOfUse:
    if rate is None:
        return day
    return replace(
        day,
        billed=_in_usd(day.billed, rate),
        credits=_in_usd(day.credits, rate),
        file_list=_in_usd(day.file_list, rate),
        file_billed=_in_usd(day.file_billed, rate),
        estimated=_in_usd(day.estimated, rate),
        currency=DOLLARS,
        rate=f"{rate}",
    )


def _in_usd(amount: Decimal | None, rate: Rate) -> Decimal | None:
    """To the last digit: it is rounded where it is shown."""
    return None if amount is None else EXACT.multiply(amount, rate.usd)


@dataclass(frozen=True)
class ForeignMonth:
    """What was billed in a month in one other currency, and its rate, None until a person confirms one."""

    currency: str
    month: date
    billed: Decimal
    rate: Rate | None

    @property
    def usd(self) -> Decimal | None:
        return None if self.rate is None else _in_usd(self.billed, self.rate)


def foreign_months(months: Iterable[UsageMonth], rates: Rates) -> list[ForeignMonth]:
    """Newest month first, then by currency."""
    return _foreign(((month.currency, month.month, month.cost) for month in months), rates)


def foreign_rows(rows: Iterable[UsageRow], rates: Rates) -> list[ForeignMonth]:
    """The same of a file's rows that are not stored yet."""
    return _foreign(((row.currency, row.period_start.date().replace(day=1), row.cost) for row in rows), rates)


def _foreign(amounts: Iterable[tuple[str, date, Decimal | None]], rates: Rates) -> list[ForeignMonth]:
    billed: dict[tuple[str, date], Decimal] = {}
    for currency, month, cost in amounts:
        if cost is not None and currency != DOLLARS:
            billed[currency, month] = EXACT.add(billed.get((currency, month), Decimal(0)), cost)
    found = [ForeignMonth(*key, sum_, rates.get(key)) for key, sum_ in billed.items()]
    return sorted(found, key=lambda one: (-one.month.toordinal(), one.currency))
