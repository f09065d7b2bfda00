"""The spend page's tables, built from months. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from costadvisor.spend.month import UsageMonth, following

MONTHS_SHOWN = 6

Amounts = tuple[tuple[str, Decimal], ...]  # (currency, amount), by currency


@dataclass(frozen=True)
class Cell:
    """One month of a provider's model: what was paid, and whether there is use that nobody billed yet."""

    amounts: Amounts
    not_billed: bool


@dataclass(frozen=True)
class GridRow:
    provider: str
    model: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class SpendGrid:
    """Providers and models by month, oldest month first. `currency` is set when everything is in one."""

    months: tuple[date, ...]
    rows: tuple[GridRow, ...]
    totals: tuple[Cell, ...]
    currency: str

    @property
    def largest_total(self) -> Decimal:
        """The largest month, for bars; 0 if there is no cost or more than one currency."""
        sums = [amount for cell in self.totals for _, amount in cell.amounts]
        return max(sums, default=Decimal(0)) if self.currency else Decimal(0)

    @property
    def newest_first(self) -> list[tuple[date, Cell]]:
        return list(zip(self.months, self.totals, strict=True))[::-1]


@dataclass(frozen=True)
class TokenMix:
    """Tokens of a provider's model over the months shown. Shares are of all input tokens."""

    provider: str
    model: str
    requests: int | None
    input_tokens: int | None
    cached_share: float | None
    output: int | None

    @property
    def input_per_request(self) -> float | None:
        return _ratio(self.input_tokens, self.requests)

    @property
    def output_per_request(self) -> float | None:
        return _ratio(self.output, self.requests)


def spend_grid(usage: Iterable[UsageMonth]) -> SpendGrid | None:
    """The last months that have any line, gaps included; None without lines."""
    usage = list(usage)
    if not usage:
        return None
    months = _last_months(max(row.month for row in usage), min(row.month for row in usage))
    cells: dict[tuple[str, str], dict[date, list[UsageMonth]]] = defaultdict(lambda: defaultdict(list))
    for row in usage:
        if row.month in months:
            cells[row.provider, row.model][row.month].append(row)
    rows = [
        GridRow(provider, model, tuple(_cell(by_month[month]) for month in months))
        for (provider, model), by_month in sorted(cells.items())
    ]
    totals = tuple(_total([row.cells[position] for row in rows]) for position in range(len(months)))
    currencies = {row.currency for row in usage if row.currency}
    return SpendGrid(tuple(months), tuple(rows), totals, currencies.pop() if len(currencies) == 1 else "")


def token_mix(usage: Iterable[UsageMonth], months: Sequence[date]) -> list[TokenMix]:
    """By provider and model, for those with tokens."""
    groups: dict[tuple[str, str], list[UsageMonth]] = defaultdict(list)
    for row in usage:
        if row.has_tokens and row.month in months:
            groups[row.provider, row.model].append(row)
    return [_mix(provider, model, rows) for (provider, model), rows in sorted(groups.items())]


def first_month_shown(today: date) -> date:
    month = today.replace(day=1)
    for _ in range(MONTHS_SHOWN - 1):
        month = (month - timedelta(days=1)).replace(day=1)
    return month


def known_sum(values: Iterable[int | None]) -> int | None:
    """The sum, or None as soon as one part is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _mix(provider: str, model: str, rows: list[UsageMonth]) -> TokenMix:
    tokens, cached = known_sum(row.input_tokens for row in rows), known_sum(row.cache_read for row in rows)
    requests, output = known_sum(row.requests for row in rows), known_sum(row.output for row in rows)
    return TokenMix(provider, model, requests, tokens, _ratio(cached, tokens), output)


def _ratio(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _last_months(last: date, first: date) -> list[date]:
    months = [first]
    while months[-1] < last:
        months.append(following(months[-1]))
    return months[-MONTHS_SHOWN:]


def _cell(rows: list[UsageMonth]) -> Cell:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.cost is not None:
            sums[row.currency] += row.cost
    return Cell(tuple(sorted(sums.items())), not_billed=bool(rows) and not sums)


def _total(cells: list[Cell]) -> Cell:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for cell in cells:
        for currency, amount in cell.amounts:
            sums[currency] += amount
    return Cell(tuple(sorted(sums.items())), any(cell.not_billed for cell in cells))
