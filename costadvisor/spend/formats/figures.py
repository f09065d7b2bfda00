"""Rows as understood, as columns: what a format's `rows` gives and what buckets are summed from."""

from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from costadvisor.spend.formats.amounts import EXACT, from_values, limb_names
from costadvisor.spend.formats.row import UsageRow

MOMENT = pl.Datetime("us", "UTC")
KEYS: dict[str, Any] = {
    "period_start": MOMENT, "period_end": MOMENT, "provider": pl.String, "model": pl.String, "scope": pl.String,
    "tier": pl.String, "batch": pl.Boolean, "charge": pl.String, "currency": pl.String, "cost_basis": pl.String,
    "invoice_month": pl.String,
}  # fmt: skip
COUNTS = ("requests", "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
MONEY = ("cost", "billed_cost", "list_cost")
BILLIONTH = Decimal("1e-9")  # what is stored of amounts beside the cost
SUMMED = (*COUNTS, *(limb for name in MONEY for limb in limb_names(name)))
# Of a log with a row a request: its identity as a number, when it came and what it took.
REQUEST = {"request_id": pl.UInt64, "arrival": MOMENT, "ttft_ms": pl.Int64, "total_ms": pl.Int64}
SCHEMA: dict[str, Any] = KEYS | dict.fromkeys(SUMMED, pl.Int64)
NOTHING = pl.DataFrame(schema={"source": pl.String} | SCHEMA | {"rows": pl.Int64})
NO_REQUESTS = pl.DataFrame(schema=SCHEMA | REQUEST)
HOUR = timedelta(hours=1)


def bucket_sums(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """One row a bucket, in the order in which they were met, with `rows`, how many rows it sums.

    A sum is null where no row says; the requests are unknown as soon as one row of use does not say them.
    """
    whole = pl.concat(list(frames))
    if "rows" not in whole.columns:
        whole = whole.with_columns(rows=pl.lit(1, pl.Int64))
    says = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in SUMMED[1:]]
    silent = (pl.col("requests").is_null() & pl.col("output").is_not_null()).any()
    requests = pl.when(~silent & pl.col("requests").is_not_null().any()).then(pl.col("requests").sum())
    return whole.group_by(["source", *KEYS], maintain_order=True).agg(
        requests.alias("requests"), *says, pl.col("rows").sum()
    )


def usage_rows(frame: pl.DataFrame) -> Iterator[UsageRow]:
    for values in frame.iter_rows(named=True):
        kept: dict[str, Any] = {name: values[name] for name in ("source", *KEYS, *COUNTS)}
        for moment in ("period_start", "period_end"):
            kept[moment] = kept[moment].astimezone(UTC)
        listed = from_values(values, "list_cost")
        yield UsageRow(
            **kept,
            cost=from_values(values, "cost"),
            billed_cost=from_values(values, "billed_cost"),
            list_cost=None if listed is None else EXACT.quantize(listed, BILLIONTH),
        )
