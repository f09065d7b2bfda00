"""A month of use and cost, summed over the lines of one provider, model, source and currency."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

TYPED = "manual"


def following(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


@dataclass(frozen=True, kw_only=True)
class UsageMonth:
    """Sums; None where no line says. `currency` is empty exactly where the lines carry no cost.

    `rate` says how a cost came to be in US dollars that was billed in another currency (`rates`); empty for all others.
    """

    SUMMED: ClassVar = (
        "requests", "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output", "cost",
    )  # fmt: skip
    GROUPED: ClassVar = ("month", "provider", "model", "source", "currency")

    month: date
    provider: str
    model: str
    source: str
    currency: str
    first_start: datetime
    last_end: datetime
    requests: int | None
    input_uncached: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None
    cost: Decimal | None
    rate: str = ""

    @property
    def is_typed(self) -> bool:
        return self.source == TYPED

    @property
    def input_tokens(self) -> int | None:
        parts = (self.input_uncached, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return None if all(part is None for part in parts) else sum(part or 0 for part in parts)

    @property
    def has_tokens(self) -> bool:
        return self.input_tokens is not None or self.output is not None

    @classmethod
    def from_sums(cls, values: Mapping[str, Any]) -> "UsageMonth":
        """From a grouped query whose sums are named `<field>_sum`. One line of use without a request count makes
        the month's count unknown: dividing tokens by the others' requests would make requests look longer."""
        sums = {name: values[f"{name}_sum"] for name in cls.SUMMED}
        if values["lines_without_requests"]:
            sums["requests"] = None
        kept = {name: values[name] for name in (*cls.GROUPED, "first_start", "last_end")}
        return cls(**kept, **sums)


def reaches_over(month: date, rows: Iterable[UsageMonth]) -> bool:
    """Whether the rows' lines reach from the month's first moment to its last."""
    rows, end = list(rows), following(month)
    return min(row.first_start for row in rows) <= datetime(month.year, month.month, 1, tzinfo=UTC) and max(
        row.last_end for row in rows
    ) >= datetime(end.year, end.month, 1, tzinfo=UTC)
