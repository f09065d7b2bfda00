"""Spend split into parts, each a workload of its own: by model, by project, or by key and tag. Pure.

A line's `scope` is what its file splits use by, from the coarse to the fine: project/key, workspace/key, team/tag/key.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, get_args

from costadvisor.spend.month import UsageMonth, following

By = Literal["model", "project", "key"]
SPLITS: tuple[By, ...] = get_args(By)


@dataclass(frozen=True, order=True)
class Part:
    """All lines of a provider's model; by `project` or `key` only those whose scope begins with or is `scope`."""

    provider: str
    model: str
    by: By = "model"
    scope: str = ""

    @property
    def name(self) -> str:
        words = [self.provider, self.model or "no model named"]
        if self.by != "model":
            words.append(self.scope or f"no {self.by} named")
        return " · ".join(words)

    @property
    def words(self) -> str:
        """As sources of figures name it."""
        scope = f" ({self.by} {self.scope})" if self.scope else ""
        return f"{self.provider} {self.model}{scope}"


@dataclass(frozen=True)
class PartUse:
    """A part's months by source, oldest first, and which months the source itself reaches over."""

    months: list[UsageMonth]
    whole: frozenset[tuple[str, date]]


def scope_of(scope: str, by: By) -> str:
    if by == "model":
        return ""
    return scope.partition("/")[0] if by == "project" else scope


def whole_months(months: list[UsageMonth]) -> dict[str, frozenset[tuple[str, date]]]:
    """By provider: a quiet project does not make a month half a month, so it is the source's lines that count."""
    reach: dict[tuple[str, str, date], tuple[datetime, datetime]] = {}
    for month in months:
        key = (month.provider, month.source, month.month)
        start, end = reach.get(key, (month.first_start, month.last_end))
        reach[key] = (min(start, month.first_start), max(end, month.last_end))
    found: dict[str, set[tuple[str, date]]] = defaultdict(set)
    for (provider, source, first), (start, end) in reach.items():
        if start <= _midnight(first) and end >= _midnight(following(first)):
            found[provider].add((source, first))
    return defaultdict(frozenset, {provider: frozenset(whole) for provider, whole in found.items()})


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
