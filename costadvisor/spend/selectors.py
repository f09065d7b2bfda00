"""Reads spend."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from costadvisor.accounts.models import Organization
from costadvisor.spend import formats
from costadvisor.spend.formats import Parsed, Problem, UsageRow
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.plan import ImportPlan, by_identity, overlaps, plan_import, rows_in
from costadvisor.spend.totals import Totals, totals

_ROWS_SHOWN, _PROBLEMS_SHOWN = 10, 100


@dataclass(frozen=True)
class ImportPreview:
    """An upload as understood, before anything of it is stored."""

    parsed: Parsed
    plan: ImportPlan
    totals: Totals | None
    overlaps: list[str]
    same_file: BillImport | None

    @property
    def rows_added(self) -> int:
        return rows_in(self.plan.added)

    @property
    def rows_revised(self) -> int:
        return rows_in(self.plan.revised)

    @property
    def rows_unchanged(self) -> int:
        return rows_in(self.plan.unchanged)

    @property
    def first_rows(self) -> tuple[UsageRow, ...]:
        return self.parsed.rows[:_ROWS_SHOWN]

    @property
    def first_problems(self) -> tuple[Problem, ...]:
        return self.parsed.problems[:_PROBLEMS_SHOWN]


_ROW_FIELDS = [field.name for field in fields(UsageRow)]


def upload_find(*, organization: Organization, upload_id: int) -> PendingUpload | None:
    return PendingUpload.objects.filter(organization=organization, pk=upload_id).first()


def upload_parsed(*, upload: PendingUpload) -> Parsed:
    """What the file says, read anew."""
    return formats.parse(upload.format_name, bytes(upload.content), today=timezone.localdate())


def upload_preview(*, upload: PendingUpload) -> ImportPreview:
    """What confirming the upload would do."""
    parsed, organization = upload_parsed(upload=upload), upload.organization
    stored = rows_stored(organization=organization, rows=parsed.rows)
    return ImportPreview(
        parsed=parsed,
        plan=plan_import(parsed.rows, stored),
        totals=totals(parsed.rows),
        overlaps=overlaps(parsed.rows, usage_months(organization=organization), stored),
        same_file=BillImport.objects.filter(organization=organization, sha256=upload.sha256).first(),
    )


def import_find(*, organization: Organization, import_id: int) -> BillImport | None:
    return BillImport.objects.filter(organization=organization, pk=import_id).first()


def import_list(*, organization: Organization) -> QuerySet[BillImport]:
    """Confirmed imports, newest first."""
    return BillImport.objects.filter(organization=organization).select_related("created_by")


def rows_stored(*, organization: Organization, rows: Sequence[UsageRow]) -> dict[str, list[UsageRow]]:
    """Current rows of the same sources as `rows` that reach into their time, by identity."""
    if not rows:
        return {}
    lines = SpendLine.current.filter(
        organization=organization,
        source__in={row.source for row in rows},
        period_start__lt=max(row.period_end for row in rows),
        period_end__gt=min(row.period_start for row in rows),
    )
    return by_identity(UsageRow(**values) for values in lines.values(*_ROW_FIELDS).iterator())


def usage_months(*, organization: Organization) -> list[UsageMonth]:
    """What was used and paid, by month, provider, model and source; oldest month first.

    A typed figure is left out where another source says what the provider cost in that month.
    """
    groups = SpendLine.current.filter(organization=organization).values(
        "month", "provider", "model", "source", "currency"
    )
    sums = groups.annotate(
        **{f"{name}_sum": Sum(name) for name in UsageMonth.SUMMED},
        lines_without_requests=Count("id", filter=Q(requests=None, output__isnull=False)),
        first_start=Min("period_start"),
        last_end=Max("period_end"),
    ).order_by("month", "provider", "model", "source", "currency")
    months = [UsageMonth.from_sums(values) for values in sums]
    billed = {(row.month, row.provider) for row in months if row.cost is not None and not row.is_typed}
    return [row for row in months if not (row.is_typed and (row.month, row.provider) in billed)]


def hourly_requests(*, organization: Organization, provider: str, model: str) -> list[tuple[datetime, int]]:
    """Start and requests of every stored bucket of one hour, in order."""
    lines = SpendLine.current.filter(
        organization=organization, provider=provider, model=model, period_end=F("period_start") + timedelta(hours=1)
    )
    sums = lines.exclude(requests=None).values("period_start").annotate(sum=Sum("requests")).order_by("period_start")
    return [(values["period_start"], values["sum"]) for values in sums]
