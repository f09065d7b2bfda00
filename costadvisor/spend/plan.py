"""What an import would change: pure comparison of a file's rows with what is stored."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain

from costadvisor.spend.formats import UsageRow
from costadvisor.spend.month import UsageMonth

# Rows by identity. A bucket is compared and replaced as a whole: a file may hold several rows of one identity.
Buckets = Mapping[str, Sequence[UsageRow]]
Overlap = tuple[str, str, str, date]  # kind of figure, provider, where it came in by, first day of the month


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


def overlaps(rows: Iterable[UsageRow], months: Iterable[UsageMonth], stored: Buckets) -> list[str]:
    """A notice for each kind of figure that would count twice.

    `months`: another source holds it already for the same provider and month. `stored`: the same source holds it
    already for the same model and time, in periods of another length or split where the other is not. What these rows
    would replace counts once.
    """
    rows = list(rows)
    replaced = {row.identity for row in rows}
    stored = {identity: bucket for identity, bucket in stored.items() if identity not in replaced}
    found: dict[tuple[str, str, str], set[date]] = defaultdict(set)
    for kind, provider, source, month in chain(_by_other_source(rows, months), _by_same_source(rows, stored)):
        found[kind, provider, source].add(month)
    return [
        f"The {kind} of {provider} for {_named(found_in)} came in already by {source}."
        " Both would be counted: import one of the two only."
        for (kind, provider, source), found_in in sorted(found.items())
    ]


def _by_other_source(rows: Iterable[UsageRow], months: Iterable[UsageMonth]) -> Iterator[Overlap]:
    by_month: dict[tuple[str, date], list[UsageMonth]] = defaultdict(list)
    for month in months:
        if not month.is_typed:
            by_month[month.provider, month.month].append(month)
    for row in rows:
        for other in by_month.get((row.provider, _month(row)), []):
            if other.source != row.source:
                for kind in _kinds(row) & _kinds(other):
                    yield kind, row.provider, _label(other.source), _month(row)


def _by_same_source(rows: Iterable[UsageRow], stored: Buckets) -> Iterator[Overlap]:
    """Rows of one length and split replace each other by identity, so only those of another are looked through."""
    starts: dict[tuple[str, ...], dict[tuple[timedelta, bool], list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for other in chain.from_iterable(stored.values()):
        for kind in _kinds(other):
            starts[kind, other.source, other.provider, other.model][_cut(other)].append(other.period_start)
    for found in chain.from_iterable(cuts.values() for cuts in starts.values()):
        found.sort()
    for row in rows:
        for kind in _kinds(row):
            for cut, sorted_starts in starts.get((kind, row.source, row.provider, row.model), {}).items():
                if cut != _cut(row) and _reach_into(row, sorted_starts, cut[0]):
                    yield kind, row.provider, f"{_label(row.source)} in other periods or another split", _month(row)


def _reach_into(row: UsageRow, sorted_starts: Sequence[datetime], length: timedelta) -> bool:
    """Whether a period of this length that begins at one of the starts has a moment in common with the row's."""
    last = bisect_left(sorted_starts, row.period_end)
    return last > 0 and sorted_starts[last - 1] + length > row.period_start


def _cut(row: UsageRow) -> tuple[timedelta, bool]:
    return row.period_end - row.period_start, bool(row.scope)


def _kinds(figures: UsageRow | UsageMonth) -> set[str]:
    tokens = {"tokens"} if figures.has_tokens else set()
    return tokens | ({"cost"} if figures.cost is not None else set())


def _month(row: UsageRow) -> date:
    return row.period_start.date().replace(day=1)


def _named(months: set[date]) -> str:
    return ", ".join(f"{month:%b %Y}" for month in sorted(months))


def _label(source: str) -> str:
    # Here, because a web process that reads no file imports no format.
    from costadvisor.spend.formats.registry import FORMATS

    mapped = "a CSV of your own" if source.startswith("mapped:") else source
    return f"“{FORMATS[source].LABEL if source in FORMATS else mapped}”"
