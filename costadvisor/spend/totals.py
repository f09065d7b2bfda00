"""What a set of rows adds up to, for the preview. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from costadvisor.spend.formats import UsageRow
from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.overview import Amounts, known_sum


@dataclass(frozen=True)
class Totals:
    """Sums over rows; None where a row with tokens does not say."""

    first_day: date
    last_day: date
    amounts: Amounts
    rows_without_cost: int
    requests: int | None
    input_tokens: int | None
    output: int | None


def totals(rows: Sequence[UsageRow]) -> Totals | None:
    """None for no rows."""
    if not rows:
        return None
    costs: dict[str, list[Decimal]] = defaultdict(list)
    for row in rows:
        if row.cost is not None:
            costs[row.currency].append(row.cost)
    with_tokens = [row for row in rows if row.has_tokens]
    return Totals(
        first_day=min(row.period_start for row in rows).date(),
        last_day=(max(row.period_end for row in rows) - timedelta(microseconds=1)).date(),
        amounts=tuple(sorted((currency, exact_sum(them)) for currency, them in costs.items())),
        rows_without_cost=sum(row.cost is None for row in rows),
        requests=_sum(with_tokens, "requests"),
        input_tokens=_sum(with_tokens, "input_tokens"),
        output=_sum(with_tokens, "output"),
    )


def _sum(rows: Sequence[UsageRow], field: str) -> int | None:
    return known_sum(getattr(row, field) for row in rows) if rows else None
