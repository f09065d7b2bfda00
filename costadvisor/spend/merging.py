"""A log of requests against those stored: which are new, which are there already, which are revised. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.formats.figures import COUNTS, KEYS, MONEY, NOTHING, SUMMED, bucket_sums, usage_rows
from costadvisor.spend.formats.row import UsageRow

_CONTENT = [name for name in (*KEYS, *SUMMED) if name != "source"]


@dataclass
class Merge:
    """`changes` are by how much the sums of each bucket change: what is new added, what was revised taken back."""

    added: int = 0
    unchanged: int = 0
    revised: int = 0
    leans_on: set[int] = field(default_factory=set)
    sums: list[pl.DataFrame] = field(default_factory=list)

    def part(self, requests: pl.DataFrame, stored: Iterable[tuple[int, pl.DataFrame]], source: str) -> pl.DataFrame:
        """Takes a part of a file; gives what of it is to be stored. `stored`: (import, its requests), newest first."""
        left, revised = requests, []
        for import_id, chunk in stored:
            known = _contents(left).join(_contents(chunk), on="request_id", suffix="_was")
            if known.is_empty():
                continue
            self.leans_on.add(import_id)
            other = known.filter(pl.col("content") != pl.col("content_was")).select("request_id")
            revised.append(left.join(other, on="request_id", how="semi"))
            self._take_back(chunk.join(other, on="request_id", how="semi"), source)
            self.unchanged += known.height - other.height
            self.revised += other.height
            left = left.join(known, on="request_id", how="anti")
        self.added += left.height
        kept = pl.concat([left, *revised])
        if not kept.is_empty():
            self.sums.append(bucket_sums([kept.select(_CONTENT).with_columns(source=pl.lit(source))]))
        return kept

    def changes(self) -> pl.DataFrame:
        return bucket_sums(self.sums) if self.sums else NOTHING

    def _take_back(self, was: pl.DataFrame, source: str) -> None:
        if not was.is_empty():
            negative = was.with_columns(-pl.col(*SUMMED), source=pl.lit(source), rows=pl.lit(-1, pl.Int64))
            self.sums.append(bucket_sums([negative.select("source", *_CONTENT, "rows")]))


def _contents(requests: pl.DataFrame) -> pl.DataFrame:
    """Each request's id with a hash of all that is said of it, good for this one comparison."""
    return requests.select("request_id").with_columns(content=requests.select(_CONTENT).hash_rows())


def rows_merged(merge: Merge, stored: Mapping[str, Sequence[UsageRow]]) -> list[UsageRow]:
    """The buckets that change, as they are to be stored: what is stored of them with the changes added."""
    buckets: dict[str, list[UsageRow]] = {}
    for change in usage_rows(merge.changes()):
        bucket = buckets.setdefault(change.identity, list(stored.get(change.identity, ())))
        at = next((at for at, row in enumerate(bucket) if _adds_up(row, change)), None)
        if at is None:
            bucket.append(change)
        else:
            bucket[at] = _sum(bucket[at], change)
    return [row for bucket in buckets.values() for row in bucket]


def _adds_up(row: UsageRow, change: UsageRow) -> bool:
    return (row.currency, row.cost_basis, row.invoice_month) == (
        change.currency, change.cost_basis, change.invoice_month,
    )  # fmt: skip


def _sum(row: UsageRow, change: UsageRow) -> UsageRow:
    sums: dict[str, object] = {}
    for name in (*COUNTS, *MONEY):
        parts = [part for part in (getattr(row, name), getattr(change, name)) if part is not None]
        if parts:
            sums[name] = exact_sum(parts) if name in MONEY else sum(parts)
    return replace(row, **sums)  # type: ignore[arg-type]
