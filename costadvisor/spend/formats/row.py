"""What every bill and usage format is turned into."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

CostBasis = Literal["", "billed", "list", "estimated"]


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """One bucket of usage or money. None means that the file does not say; it is never written as 0.

    Tokens are counts: the input is `input_uncached + cache_read + cache_write_5m + cache_write_1h`; `output`
    includes `reasoning`. Periods are UTC, `period_end` exclusive. Without a cost,
    `currency` and `cost_basis` are empty.
    """

    period_start: datetime
    period_end: datetime
    source: str
    provider: str
    model: str = ""
    scope: str = ""  # what further splits a bucket, such as project and key; buckets of two scopes are added up
    requests: int | None = None
    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    tier: str = ""
    batch: bool | None = None
    cost: Decimal | None = None
    currency: str = ""
    cost_basis: CostBasis = ""

    @property
    def identity(self) -> str:
        """Names the bucket, not its content: rows of one identity in a later file replace those stored earlier."""
        bucket = [
            self.period_start.isoformat(), self.period_end.isoformat(), self.source, self.provider, self.model,
            self.scope, self.tier, self.batch,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(bucket).encode()).hexdigest()

    @property
    def input_tokens(self) -> int | None:
        """All input, cached and not; None if the row has none."""
        parts = (self.input_uncached, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return None if self.input_uncached is None else sum(part or 0 for part in parts)

    @property
    def has_tokens(self) -> bool:
        return self.input_tokens is not None or self.output is not None


@dataclass(frozen=True)
class Problem:
    """Why a part of a file cannot be used. `where` is `line 7`, or a path such as `data[3].results[0]` in JSON."""

    where: str
    field: str
    reason: str


@dataclass(frozen=True)
class Parsed:
    """What a file says: rows as understood, parts that cannot be used, and notices that a reader should know.

    `places` says of each row where it stands, as `Problem.where` does.
    """

    rows: tuple[UsageRow, ...]
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def until(self, today: date) -> "Parsed":
        """Without the rows of periods that begin after `today`, each of which becomes a problem."""
        placed = list(zip(self.places, self.rows, strict=True))
        begun = [(place, row) for place, row in placed if row.period_start.date() <= today]
        early = [_early(place, row, today) for place, row in placed if row.period_start.date() > today]
        return replace(
            self,
            rows=tuple(row for _, row in begun),
            places=tuple(place for place, _ in begun),
            problems=(*self.problems, *early),
        )


def _early(place: str, row: UsageRow, today: date) -> Problem:
    return Problem(place, "period", f"{row.period_start:%Y-%m-%d} lies in the future; today is {today}")
