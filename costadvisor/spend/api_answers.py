"""What the API says of uploads, imports and months: plain JSON, money as text to the last digit, unknown as null."""

from dataclasses import asdict, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costadvisor.spend.models import BillImport, ExchangeRate, PendingUpload
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.rates import DOLLARS, ForeignMonth

if TYPE_CHECKING:
    from costadvisor.spend.formats import UsageRow
    from costadvisor.spend.previews import ImportPreview

Answer = dict[str, Any]


def upload_answer(upload: PendingUpload, progress: float | None) -> Answer:
    """`progress` is the share read or stored, of an upload that is being read or stored."""
    return {
        "id": upload.pk,
        "file_name": upload.file_name,
        "size_bytes": upload.size_bytes,
        "received_bytes": upload.received_bytes,
        "sha256": upload.sha256,
        "state": upload.state,
        "progress": progress,
        "format": upload.format_name or None,
        "failure": upload.failure or None,
        "import_id": upload.bill_import_id,
    }


def preview_answer(preview: "ImportPreview") -> Answer:
    summary, totals = preview.summary, preview.totals
    return {
        "rows": summary.row_count,
        "problems": [asdict(problem) for problem in summary.problems],
        "problem_count": summary.problem_count,
        "notices": [*preview.overlaps, *summary.notices],
        "mapping": summary.mapping,
        "new": preview.rows_added,
        "revised": preview.rows_revised,
        "stored_already": preview.rows_unchanged,
        "changes_something": preview.plan.changes_something,
        "without_rate": [{"currency": one.currency, "month": f"{one.month:%Y-%m}"} for one in preview.without_rate],
        "imported_before_as": preview.same_file.pk if preview.same_file else None,
        "totals": totals and {
            "first_day": f"{totals.first_day}",
            "last_day": f"{totals.last_day}",
            "cost": {currency: _money(sum_) for currency, sum_ in totals.amounts},
            "rows_without_cost": totals.rows_without_cost,
            "requests": totals.requests,
            "input_tokens": totals.input_tokens,
            "output_tokens": totals.output,
        },
        "first_rows": [_row(row) for row in preview.first_rows],
    }  # fmt: skip


def import_answer(bill_import: BillImport) -> Answer:
    return {
        "id": bill_import.pk,
        "file_name": bill_import.file_name or None,
        "format": bill_import.format_name,
        "sha256": bill_import.sha256 or None,
        "created_at": bill_import.created_at.isoformat(),
        "by": str(bill_import.created_by or bill_import.origin) or None,
        "rows_new": bill_import.rows_added,
        "rows_revised": bill_import.rows_revised,
        "rows_stored_already": bill_import.rows_unchanged,
        "lines_left_out": bill_import.lines_left_out,
    }


def month_answer(month: UsageMonth, in_usd: UsageMonth) -> Answer:
    kinds = ("requests", "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    return {
        "month": f"{month.month:%Y-%m}",
        "provider": month.provider,
        "model": month.model or None,
        "source": month.source,
        **{kind: getattr(month, kind) for kind in kinds},
        "cost": _money(month.cost),
        "currency": month.currency or None,
        "usd": _money(in_usd.cost) if in_usd.currency == DOLLARS else None,
    }


def foreign_answer(month: ForeignMonth) -> Answer:
    return {
        "month": f"{month.month:%Y-%m}",
        "currency": month.currency,
        "billed": _money(month.billed),
        "usd": _money(month.usd),
        "rate": month.rate and f"{month.rate.usd:f}",
    }


def rate_answer(stored: ExchangeRate) -> Answer:
    return {
        "id": stored.pk,
        "currency": stored.currency,
        "month": f"{stored.month:%Y-%m}",
        "usd": stored.usd,
        "as_of": f"{stored.as_of}",
        "source": stored.source,
        "confirmed_at": stored.confirmed_at.isoformat(),
        "by": str(stored.confirmed_by or stored.origin) or None,
        "replaced_at": stored.replaced_at and stored.replaced_at.isoformat(),
    }


def _row(row: "UsageRow") -> Answer:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _money(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
