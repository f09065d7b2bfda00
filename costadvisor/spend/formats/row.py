"""What every bill and usage format is turned into."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

CostBasis = Literal["", "billed", "list", "estimated"]
# What a row of money is for. Only `usage` is compared with serving the model; the others are shown apart.
Charge = Literal["usage", "credit", "refund", "tax", "tool", "storage", "commitment", "other"]


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """One bucket of usage or money. None means that the file does not say; it is never written as 0.

    Tokens are counts: the input is `input_uncached + cache_read + cache_write_5m + cache_write_1h`; `output`
    includes `reasoning`. Periods are UTC, `period_end` exclusive. Without a cost,
    `currency` and `cost_basis` are empty. `billed_cost` is what an invoice shows where `cost` is an effective one;
    `list_cost` what the file itself says that the row is at list price.
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
    charge: str = "usage"  # one of `Charge`
    cost: Decimal | None = None
    billed_cost: Decimal | None = None
    list_cost: Decimal | None = None
    currency: str = ""
    cost_basis: str = ""  # one of `CostBasis`
    invoice_month: str = ""  # the provider's own, such as 2026-10, where it differs from the UTC month

    @property
    def identity(self) -> str:
        """Names the bucket, not its content: rows of one identity in a later file replace those stored earlier."""
        bucket = [
            self.period_start.isoformat(), self.period_end.isoformat(), self.source, self.provider, self.model,
            self.scope, self.tier, self.batch,
        ]  # fmt: skip
        if self.charge != "usage":
            bucket.append(self.charge)
        return hashlib.sha256(json.dumps(bucket).encode()).hexdigest()

    @property
    def input_tokens(self) -> int | None:
        """All input, cached and not; None if the row has none."""
        parts = (self.input_uncached, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return None if all(part is None for part in parts) else sum(part or 0 for part in parts)

    @property
    def has_tokens(self) -> bool:
        return self.input_tokens is not None or self.output is not None


@dataclass(frozen=True)
class Problem:
    """Why a part of a file cannot be used. `where` is `line 7`, or a path such as `data[3].results[0]` in JSON."""

    where: str
    field: str
    reason: str
