"""What an import would change: pure comparison of a file's rows with what is stored."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from costadvisor.spend.formats import FORMATS, UsageRow
from costadvisor.spend.month import UsageMonth

# Rows by identity. A bucket is compared and replaced as a whole: a file may hold several rows of one identity.
Buckets = Mapping[str, Sequence[UsageRow]]


@dataclass(frozen=True)
class ImportPlan:
    """`added` and `revised` buckets are stored; `unchanged` ones are there already, row for row."""

    added: dict[str, list[UsageRow]]
    revised: dict[str, list[UsageRow]]
    unchanged: dict[str, list[UsageRow]]

    @property
    def changes_something(self) -> bool:
        return bool(self.added or self.revised)


def rows_in(buckets: Buckets) -> int:
    return sum(len(rows) for rows in buckets.values())


def by_identity(rows: Iterable[UsageRow]) -> dict[str, list[UsageRow]]:
    buckets: dict[str, list[UsageRow]] = defaultdict(list)
    for row in rows:
        buckets[row.identity].append(row)
    return dict(buckets)


def plan_import(rows: Iterable[UsageRow], stored: Buckets) -> ImportPlan:
    """Compares the rows of a file with the current rows of the same identities, in whatever order either lists them."""
    plan = ImportPlan({}, {}, {})
    for identity, bucket in by_identity(rows).items():
        if identity not in stored:
            plan.added[identity] = bucket
        elif Counter(bucket) == Counter(stored[identity]):
            plan.unchanged[identity] = bucket
        else:
            plan.revised[identity] = bucket
    return plan


def overlaps(rows: Iterable[UsageRow], stored: Iterable[UsageMonth]) -> list[str]:
    """A notice for each kind of figure that another source holds already for the same provider and month."""
    by_month: dict[tuple[str, date], list[UsageMonth]] = defaultdict(list)
    for month in stored:
        if not month.is_typed:
            by_month[month.provider, month.month].append(month)
    found: dict[tuple[str, str, str], set[date]] = defaultdict(set)
    for row in rows:
        first_day = row.period_start.date().replace(day=1)
        for other in by_month.get((row.provider, first_day), []):
            for kind in _doubled(row, other):
                found[kind, row.provider, other.source].add(first_day)
    return [
        f"The {kind} of {provider} for {_named(months)} came in already by “{_label(source)}”."
        " Both would be counted: import one of the two only."
        for (kind, provider, source), months in sorted(found.items())
    ]


def _doubled(row: UsageRow, other: UsageMonth) -> list[str]:
    if row.source == other.source:
        return []
    tokens = ["tokens"] if row.has_tokens and other.has_tokens else []
    return tokens + (["cost"] if row.cost is not None and other.cost is not None else [])


def _named(months: set[date]) -> str:
    return ", ".join(f"{month:%b %Y}" for month in sorted(months))


def _label(source: str) -> str:
    return FORMATS[source].LABEL if source in FORMATS else source
