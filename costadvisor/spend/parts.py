"""Spend split into parts, each a workload of its own: by model, by project, or by key and tag.

A line's `scope` is what its file splits use by, from the coarse to the fine: project/key, workspace/key, team/tag/key.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from costadvisor.accounts.models import Organization
from costadvisor.spend.models import SpendLine
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


def part_uses(*, organization: Organization, by: By) -> dict[Part, PartUse]:
    """Every part of the bill that has tokens."""
    sums = (
        SpendLine.current.filter(organization=organization)
        .values(*UsageMonth.GROUPED, "scope")
        .annotate(
            **{f"{name}_sum": Sum(name) for name in UsageMonth.SUMMED},
            lines_without_requests=Count("id", filter=Q(requests=None, output__isnull=False)),
            first_start=Min("period_start"),
            last_end=Max("period_end"),
        )
        .order_by(*UsageMonth.GROUPED, "scope")
    )
    rows = [(_scope_of(values["scope"], by), UsageMonth.from_sums(values)) for values in sums]
    whole = _whole_months([month for _, month in rows])
    parts: dict[Part, list[UsageMonth]] = defaultdict(list)
    for scope, month in rows:
        if month.has_tokens:
            parts[Part(month.provider, month.model, by, scope)].append(month)
    return {part: PartUse(months, whole[part.provider]) for part, months in sorted(parts.items())}


def part_hours(*, organization: Organization, part: Part, source: str) -> list[tuple[datetime, int]]:
    """Start and requests of every bucket of one hour that the source has of a part, in order."""
    lines = _of_part(SpendLine.current.filter(organization=organization, source=source), part)
    hours = lines.filter(period_end=F("period_start") + timedelta(hours=1)).exclude(requests=None)
    sums = hours.values("period_start").annotate(sum=Sum("requests")).order_by("period_start")
    return [(values["period_start"], values["sum"]) for values in sums]


def _of_part(lines: "QuerySet[SpendLine]", part: Part) -> "QuerySet[SpendLine]":
    lines = lines.filter(provider=part.provider, model=part.model)
    if part.by == "model":
        return lines
    within = Q(scope__startswith=f"{part.scope}/") if part.by == "project" and part.scope else Q()
    return lines.filter(Q(scope=part.scope) | within) if within else lines.filter(scope=part.scope)


def _scope_of(scope: str, by: By) -> str:
    if by == "model":
        return ""
    return scope.partition("/")[0] if by == "project" else scope


def _whole_months(months: list[UsageMonth]) -> dict[str, frozenset[tuple[str, date]]]:
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
