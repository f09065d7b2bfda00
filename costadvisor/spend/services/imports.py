"""What was understood is stored, or taken back; and figures typed by hand."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import cast

import polars as pl
from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.fields import billionths
from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.formats import UsageRow
from costadvisor.spend.formats.amounts import EXACT, plain
from costadvisor.spend.formats.values import BadValue, currency, month, name
from costadvisor.spend.merging import Merge, rows_merged
from costadvisor.spend.models import BillImport, PendingUpload, RequestChunk, SpendLine, UploadState
from costadvisor.spend.month import TYPED
from costadvisor.spend.plan import ImportPlan, plan_import, rows_in
from costadvisor.spend.previews import upload_merge, upload_summary
from costadvisor.spend.selectors import imports_holding, rows_stored

_LINES_AT_ONCE = 2000


@transaction.atomic
def import_commit(*, upload: PendingUpload, actor: User, leave_out_bad_lines: bool = False) -> BillImport:
    """Stores everything usable in the upload, or nothing.

    Rows already stored are skipped, revised ones supersede what was stored. Raises Refusal if the file has bad
    lines and `leave_out_bad_lines` is not set, or if it would change nothing.
    """
    _lock(upload.organization)
    if upload.state != UploadState.READY:
        raise Refusal("The file is not read yet.")
    summary = upload_summary(upload=upload)
    if summary.problem_count and not leave_out_bad_lines:
        raise Refusal(f"{summary.problem_count} lines cannot be read. Say that they may be left out, or mend the file.")
    bill_import = BillImport(
        organization=upload.organization,
        created_by=actor,
        file_name=upload.file_name,
        format_name=upload.format_name,
        sha256=upload.sha256,
        lines_left_out=summary.problem_count,
    )
    rows = staging.rows_read(upload)
    if summary.requests:
        _store_requests(bill_import, upload, rows)
    else:
        _store(bill_import, rows)
    _record(bill_import, actor, "bill_import_create")
    upload.delete()
    transaction.on_commit(lambda: staging.folder_remove(upload))
    return bill_import


@transaction.atomic
def monthly_cost_record(
    *, organization: Organization, actor: User, month_text: str, provider: str, amount: Decimal, currency_code: str
) -> BillImport:
    """A provider's cost of one month, typed by hand. Typing another amount for that month replaces it."""
    row = _manual_row(month_text, provider, amount, currency_code)
    _lock(organization)
    bill_import = BillImport(organization=organization, created_by=actor, format_name=TYPED)
    _store(bill_import, [row])
    _record(bill_import, actor, "monthly_cost_record")
    return bill_import


@transaction.atomic
def import_remove(*, bill_import: BillImport, actor: User) -> None:
    """Takes an import back; lines that it had revised are current again.

    Raises Refusal while a later import has revised lines of it, or left lines out because this one has them.
    """
    revising = BillImport.objects.filter(superseded__bill_import=bill_import)
    later = (revising | bill_import.leaned_on_by.all()).order_by("-id").first()
    if later is not None:
        raise Refusal(
            f"“{later}” of {later.created_at:%Y-%m-%d} revised lines of this import, or left out what it has already."
            " Remove that one first."
        )
    _record(bill_import, actor, "bill_import_remove")
    # Its own lines go first: bringing the superseded ones back would break their uniqueness otherwise.
    bill_import.lines.all().delete()
    bill_import.delete()


def _lock(organization: Organization) -> None:
    """Two imports of one organization wait for each other; SQLite's IMMEDIATE transaction does the same."""
    Organization.objects.select_for_update().get(pk=organization.pk)


def _store(bill_import: BillImport, rows: Sequence[UsageRow]) -> None:
    stored = rows_stored(organization=bill_import.organization, rows=rows)
    plan = plan_import(rows, stored)
    if not plan.changes_something:
        raise Refusal("Everything in it is stored already; nothing was added.")
    bill_import.rows_added = rows_in(plan.added)
    bill_import.rows_revised = rows_in(plan.revised)
    bill_import.rows_unchanged = rows_in(plan.unchanged)
    bill_import.save()
    holding = imports_holding(organization=bill_import.organization, identities=list(plan.unchanged))
    bill_import.leans_on.set(holding)
    _store_lines(bill_import, plan)


def _store_requests(bill_import: BillImport, upload: PendingUpload, rows: Sequence[UsageRow]) -> None:
    """Of a log: its new requests, and the hours they change."""
    bill_import.rows_added = 0
    bill_import.save()
    merge = upload_merge(upload=upload, keep=lambda part: _store_chunk(bill_import, upload.format_name, part))
    if not merge.added and not merge.revised:
        raise Refusal("Everything in it is stored already; nothing was added.")
    _count_merged(bill_import, merge)
    stored = rows_stored(organization=bill_import.organization, rows=rows)
    _store_lines(bill_import, plan_import(rows_merged(merge, stored), stored))


def _count_merged(bill_import: BillImport, merge: Merge) -> None:
    bill_import.rows_added, bill_import.rows_revised = merge.added, merge.revised
    bill_import.rows_unchanged = merge.unchanged
    bill_import.save()
    bill_import.leans_on.set(merge.leans_on)


def _store_chunk(bill_import: BillImport, source: str, part: pl.DataFrame) -> None:
    if part.is_empty():
        return
    packed = io.BytesIO()
    part.write_parquet(packed, compression="zstd")
    RequestChunk.objects.create(
        bill_import=bill_import,
        source=source,
        first_arrival=cast(datetime, part["arrival"].min()),
        last_arrival=cast(datetime, part["arrival"].max()),
        requests=part.height,
        content=packed.getvalue(),
    )


def _store_lines(bill_import: BillImport, plan: ImportPlan) -> None:
    _supersede(list(plan.revised), bill_import)
    SpendLine.objects.bulk_create(
        (
            _line(bill_import, identity, ordinal, row)
            for identity, bucket in (plan.added | plan.revised).items()
            for ordinal, row in enumerate(bucket)
        ),
        batch_size=_LINES_AT_ONCE,
    )


def _supersede(identities: Sequence[str], bill_import: BillImport) -> None:
    current = SpendLine.current.filter(organization_id=bill_import.organization_id)
    for start in range(0, len(identities), 500):  # databases bound the number of values in one query
        current.filter(identity__in=identities[start : start + 500]).update(superseded_by=bill_import)


def _line(bill_import: BillImport, identity: str, ordinal: int, row: UsageRow) -> SpendLine:
    values = asdict(row)
    if row.cost is not None:
        values["cost"] = billionths(row.cost)
        values["cost_rest"] = _rest(row.cost, values["cost"])
    if row.billed_cost is not None:
        values["billed_cost"] = billionths(row.billed_cost)
    return SpendLine(
        organization=bill_import.organization,
        bill_import=bill_import,
        identity=identity,
        ordinal=ordinal,
        month=row.period_start.date().replace(day=1),
        **values,
    )


def _rest(cost: Decimal, kept: Decimal) -> str:
    rest = plain(EXACT.subtract(cost, kept))
    return f"{rest:f}" if rest else ""


def _manual_row(month_text: str, provider: str, amount: Decimal, currency_code: str) -> UsageRow:
    try:
        start, end = month("month", month_text)
        return UsageRow(
            period_start=start,
            period_end=end,
            source=TYPED,
            provider=name("provider", provider.strip(), required=True).lower(),
            cost=billionths(amount),
            currency=currency("currency", currency_code),
            cost_basis="estimated",  # somebody's word, without a document
        )
    except BadValue as error:
        raise Refusal(str(error), field=error.field) from error


def _record(bill_import: BillImport, actor: User, action: str) -> None:
    event_record(
        action=action,
        object_kind="bill_import",
        object_id=bill_import.pk,
        organization_id=bill_import.organization_id,
        actor_id=actor.pk,
        actor_email=actor.email,
        details={
            "file_name": bill_import.file_name,
            "sha256": bill_import.sha256,
            "rows_added": bill_import.rows_added,
            "rows_revised": bill_import.rows_revised,
            "lines_left_out": bill_import.lines_left_out,
        },
    )
