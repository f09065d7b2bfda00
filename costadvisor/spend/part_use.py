"""Reads what parts of the bill used."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from costadvisor.accounts.models import Organization
from costadvisor.spend.models import SpendLine
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.parts import By, Part, PartUse, scope_of, whole_months


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
    rows = [(scope_of(values["scope"], by), UsageMonth.from_sums(values)) for values in sums]
    whole = whole_months([month for _, month in rows])
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
