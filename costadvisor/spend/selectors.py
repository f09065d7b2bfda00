"""Reads spend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from costadvisor.accounts.models import Organization
from costadvisor.spend.formats import UsageRow
from costadvisor.spend.formats.amounts import EXACT, exact_sum
from costadvisor.spend.models import BillImport, ExchangeRate, PendingUpload, ProviderKey, SpendLine
from costadvisor.spend.month import TYPED, UsageMonth
from costadvisor.spend.plan import by_identity
from costadvisor.spend.rates import Rate, months_in_usd
from costadvisor.spend.reconciliation import DayOfUse

_CREDITS = ("credit", "refund")
_ROW_FIELDS = [field.name for field in fields(UsageRow)]


def upload_find(*, organization: Organization, upload_id: int) -> PendingUpload | None:
    return PendingUpload.objects.filter(organization=organization, pk=upload_id).first()


def import_find(*, organization: Organization, import_id: int) -> BillImport | None:
    return BillImport.objects.filter(organization=organization, pk=import_id).first()


def provider_key_find(*, organization: Organization, key_id: int) -> ProviderKey | None:
    return ProviderKey.objects.filter(organization=organization, pk=key_id).first()


def exchange_rate_find(*, organization: Organization, rate_id: int) -> ExchangeRate | None:
    return ExchangeRate.objects.filter(organization=organization, pk=rate_id).first()


def provider_key_list(*, organization: Organization) -> QuerySet[ProviderKey]:
    """By provider, each with its pulls."""
    return ProviderKey.objects.filter(organization=organization).select_related("set_by").prefetch_related("pulls")


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
    return by_identity(_row(values) for values in lines.values(*_ROW_FIELDS, "cost_rest").iterator())


def _row(values: dict[str, object]) -> UsageRow:
    rest = str(values.pop("cost_rest"))
    if rest:
        values["cost"] = EXACT.add(values["cost"], Decimal(rest))  # type: ignore[arg-type]
    return UsageRow(**values)  # type: ignore[arg-type]


def imports_holding(*, organization: Organization, identities: Sequence[str]) -> set[int]:
    """Imports whose current lines are of these buckets."""
    found: set[int] = set()
    lines = SpendLine.current.filter(organization=organization)
    for start in range(0, len(identities), 500):  # databases bound the number of values in one query
        some = lines.filter(identity__in=identities[start : start + 500])
        found |= set(some.values_list("bill_import_id", flat=True).distinct())
    return found


def usage_months(*, organization: Organization) -> list[UsageMonth]:
    """What was used and paid, by month, provider, model and source; oldest month first.

    A typed figure is left out where another source says what the provider cost in that month.
    """
    lines = SpendLine.current.filter(organization=organization)
    groups = lines.values(*UsageMonth.GROUPED)
    sums = groups.annotate(
        **{f"{name}_sum": Sum(name) for name in UsageMonth.SUMMED},
        lines_without_requests=Count("id", filter=Q(requests=None, output__isnull=False)),
        first_start=Min("period_start"),
        last_end=Max("period_end"),
    ).order_by(*UsageMonth.GROUPED)
    rests = _rests(lines)
    months = [UsageMonth.from_sums(_with_rest(values, rests)) for values in sums]
    billed = {(row.month, row.provider) for row in months if row.cost is not None and not row.is_typed}
    return [row for row in months if not (row.is_typed and (row.month, row.provider) in billed)]


def rates_confirmed(*, organization: Organization) -> dict[tuple[str, date], Rate]:
    """Those that hold now."""
    stored = ExchangeRate.objects.filter(organization=organization, replaced_at=None)
    return {(one.currency, one.month): one.rate for one in stored}


def rate_history(*, organization: Organization) -> QuerySet[ExchangeRate]:
    """Newest month first, the one that holds before those it replaced."""
    return ExchangeRate.objects.filter(organization=organization).select_related("confirmed_by")


def usage_months_in_usd(*, organization: Organization) -> list[UsageMonth]:
    """`usage_months`, those of other currencies in US dollars where a rate of that month is confirmed."""
    return months_in_usd(usage_months(organization=organization), rates_confirmed(organization=organization))


def _rests(lines: QuerySet[SpendLine]) -> Mapping[tuple[object, ...], Decimal]:
    """What the billionths of each group's cost leave out."""
    found: dict[tuple[object, ...], list[Decimal]] = {}
    for *group, rest in lines.exclude(cost_rest="").values_list(*UsageMonth.GROUPED, "cost_rest").iterator():
        found.setdefault(tuple(group), []).append(Decimal(rest))
    return {group: exact_sum(rests) for group, rests in found.items()}


def _with_rest(values: dict[str, object], rests: Mapping[tuple[object, ...], Decimal]) -> dict[str, object]:
    rest = rests.get(tuple(values[name] for name in UsageMonth.GROUPED))
    return values if rest is None else values | {"cost_sum": EXACT.add(values["cost_sum"], rest)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class ChargeApart:
    """Money of a month that is not for tokens: credits, tax, tools, storage."""

    month: date
    provider: str
    charge: str
    currency: str
    cost: Decimal


def charges_apart(*, organization: Organization) -> list[ChargeApart]:
    """Newest month first."""
    lines = SpendLine.current.filter(organization=organization, cost__isnull=False).exclude(charge="usage")
    sums = lines.values("month", "provider", "charge", "currency").annotate(sum=Sum("cost"))
    return [
        ChargeApart(values["month"], values["provider"], values["charge"], values["currency"], values["sum"])
        for values in sums.order_by("-month", "provider", "charge", "currency")
    ]


def days_of_use(*, organization: Organization, since: date) -> list[DayOfUse]:
    """Use and billed money by day, model, source, tier and batch, from the day on."""
    lines = SpendLine.current.filter(organization=organization, month__gte=since, charge__in=("usage", *_CREDITS))
    grouped = ("day", "provider", "model", "source", "tier", "batch", "currency")
    kinds = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    billed = Q(cost_basis="billed") | Q(source=TYPED)
    listed = Q(cost_basis="billed", charge="usage", list_cost__isnull=False)
    sums = (
        lines.annotate(day=TruncDate("period_start", tzinfo=UTC))
        .values(*grouped)
        .annotate(
            **{f"{kind}_sum": Sum(kind) for kind in kinds},
            requests_sum=Sum("requests"),
            billed=Sum("cost", filter=billed & Q(charge="usage")),
            credits=Sum("cost", filter=Q(charge__in=_CREDITS)),
            file_list=Sum("list_cost", filter=listed),
            file_billed=Sum("cost", filter=listed),
            estimated=Sum("cost", filter=Q(cost_basis="estimated", charge="usage") & ~Q(source=TYPED)),
        )
    )
    return [_day_of_use(values, kinds) for values in sums.order_by(*grouped)]


def _day_of_use(values: dict[str, Any], kinds: Sequence[str]) -> DayOfUse:
    tokens: dict[str, Any] = {kind: values[f"{kind}_sum"] or 0 for kind in kinds}
    kept: dict[str, Any] = {name: values[name] for name in ("day", "provider", "model", "source", "tier", "currency")}
    return DayOfUse(
        **kept,
        **tokens,
        batch=bool(values["batch"]),
        requests=values["requests_sum"],
        **{name: values[name] for name in ("billed", "credits", "file_list", "file_billed", "estimated")},
    )


def hourly_requests(*, organization: Organization, provider: str, model: str) -> list[tuple[datetime, int]]:
    """Start and requests of every stored bucket of one hour, in order."""
    lines = SpendLine.current.filter(
        organization=organization, provider=provider, model=model, period_end=F("period_start") + timedelta(hours=1)
    )
    sums = lines.exclude(requests=None).values("period_start").annotate(sum=Sum("requests")).order_by("period_start")
    return [(values["period_start"], values["sum"]) for values in sums]
