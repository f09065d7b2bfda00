"""What was understood is stored, or taken back; and figures typed by hand."""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import cast

import polars as pl
from django.conf import settings
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
from costadvisor.spend.services.beside import run_beside

_LINES_AT_ONCE = 2000
_OF_REQUESTS = 0.9  # of the time that a log takes to be stored
Tell = Callable[[float], None]


def upload_confirm(*, upload: PendingUpload, actor: User | None, leave_out_bad_lines: bool = False) -> None:
    """Stores the upload, at once or, if it is large, beside the web process; done once, however often it is asked.

    Raises Refusal as `import_commit` does; of a large one the reason is in the upload's `failure` later.
    """
    if upload.state in (UploadState.STORING, UploadState.STORED):
        return
    _refuse_unready(upload, leave_out_bad_lines=leave_out_bad_lines)
    if upload_summary(upload=upload).row_count <= settings.BILL_STORE_AT_ONCE_ROWS:
        import_commit(upload=upload, actor=actor, leave_out_bad_lines=leave_out_bad_lines)
    elif _begin_storing(upload):
        said = ["--leave-out"] if leave_out_bad_lines else []
        actor_said = ["--actor", str(actor.pk)] if actor else []
        run_beside("bill_store", str(upload.pk), *said, *actor_said)


def _begin_storing(upload: PendingUpload) -> bool:
    """Of two who ask at the same time only one begins."""
    ready = PendingUpload.objects.filter(pk=upload.pk, state=UploadState.READY)
    begun = ready.update(state=UploadState.STORING, failure="")
    upload.refresh_from_db()
    if begun:
        staging.Teller(upload)  # forgets how far reading was
    return bool(begun)


def _refuse_unready(upload: PendingUpload, *, leave_out_bad_lines: bool) -> None:
    if upload.state not in (UploadState.READY, UploadState.STORING):
        raise Refusal("The file is not read yet.")
    bad_lines = upload_summary(upload=upload).problem_count
    if bad_lines and not leave_out_bad_lines:
        raise Refusal(f"{bad_lines} lines cannot be read. Say that they may be left out, or mend the file.")


@transaction.atomic
def import_commit(*, upload: PendingUpload, actor: User | None, leave_out_bad_lines: bool = False) -> BillImport:
    """Stores everything usable in the upload, or nothing.

    Rows already stored are skipped, revised ones supersede what was stored. Raises Refusal if the file has bad
    lines and `leave_out_bad_lines` is not set, or if it would change nothing. No actor: the upload's origin did it.
    """
    _lock(upload.organization)
    if not PendingUpload.objects.filter(pk=upload.pk).exclude(state=UploadState.STORED).exists():
        raise Refusal("It was stored or discarded meanwhile.")
    _refuse_unready(upload, leave_out_bad_lines=leave_out_bad_lines)
    summary, tell = upload_summary(upload=upload), staging.Teller(upload)
    bill_import = BillImport(
        organization=upload.organization,
        created_by=actor,
        origin="" if actor else upload.origin,
        file_name=upload.file_name,
        format_name=upload.format_name,
        sha256=upload.sha256,
        lines_left_out=summary.problem_count,
    )
    rows = staging.rows_read(upload)
    if summary.requests:
        _store_requests(bill_import, upload, rows, tell)
    else:
        _store(bill_import, rows, tell)
    _record(bill_import, actor, "bill_import_create")
    upload.state, upload.bill_import, upload.summary = UploadState.STORED, bill_import, {}
    upload.save()
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
    _store(bill_import, [row], lambda _: None)
    _record(bill_import, actor, "monthly_cost_record")
    return bill_import


@transaction.atomic
def import_remove(*, bill_import: BillImport, actor: User | None, origin: str = "") -> None:
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
    _record(bill_import, actor, "bill_import_remove", origin)
    # Its own lines go first: bringing the superseded ones back would break their uniqueness otherwise.
    bill_import.lines.all().delete()
    bill_import.delete()


def _lock(organization: Organization) -> None:
    """Two imports of one organization wait for each other; SQLite's IMMEDIATE transaction does the same."""
    Organization.objects.select_for_update().get(pk=organization.pk)


def _store(bill_import: BillImport, rows: Sequence[UsageRow], tell: Tell) -> None:
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
    _store_lines(bill_import, plan, tell)


def _store_requests(bill_import: BillImport, upload: PendingUpload, rows: Sequence[UsageRow], tell: Tell) -> None:
    """Of a log: its new requests, and the hours they change."""
    bill_import.rows_added = 0
    bill_import.save()
    whole, done = upload_summary(upload=upload).requests or 1, 0

    def keep(part: pl.DataFrame, of: int) -> None:
        nonlocal done
        _store_chunk(bill_import, upload.format_name, part)
        done += of
        tell(_OF_REQUESTS * done / whole)

    merge = upload_merge(upload=upload, keep=keep)
    if not merge.added and not merge.revised:
        raise Refusal("Everything in it is stored already; nothing was added.")
    _count_merged(bill_import, merge)
    stored = rows_stored(organization=bill_import.organization, rows=rows)
    plan = plan_import(rows_merged(merge, stored), stored)
    _store_lines(bill_import, plan, lambda share: tell(_OF_REQUESTS + (1 - _OF_REQUESTS) * share))


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


def _store_lines(bill_import: BillImport, plan: ImportPlan, tell: Tell) -> None:
    _supersede(list(plan.revised), bill_import)
    new = [
        (identity, ordinal, row)
        for identity, bucket in (plan.added | plan.revised).items()
        for ordinal, row in enumerate(bucket)
    ]
    for start in range(0, len(new), _LINES_AT_ONCE):
        some = new[start : start + _LINES_AT_ONCE]
        SpendLine.objects.bulk_create(_line(bill_import, *line) for line in some)
        tell((start + len(some)) / len(new))


def _supersede(identities: Sequence[str], bill_import: BillImport) -> None:
    current = SpendLine.current.filter(organization_id=bill_import.organization_id)
    for start in range(0, len(identities), 500):  # databases bound the number of values in one query
        current.filter(identity__in=identities[start : start + 500]).update(superseded_by=bill_import)


def _line(bill_import: BillImport, identity: str, ordinal: int, row: UsageRow) -> SpendLine:
    values = asdict(row)
    if row.cost is not None:
        values["cost"] = billionths(row.cost)
        values["cost_rest"] = _rest(row.cost, values["cost"])
    for beside in ("billed_cost", "list_cost"):
        if values[beside] is not None:
            values[beside] = billionths(values[beside])
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


def _record(bill_import: BillImport, actor: User | None, action: str, origin: str = "") -> None:
    event_record(
        action=action,
        object_kind="bill_import",
        object_id=bill_import.pk,
        organization_id=bill_import.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={
            "origin": origin or bill_import.origin,
            "file_name": bill_import.file_name,
            "sha256": bill_import.sha256,
            "rows_added": bill_import.rows_added,
            "rows_revised": bill_import.rows_revised,
            "lines_left_out": bill_import.lines_left_out,
        },
    )
