"""Writes spend: uploads, imports and typed figures."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.fields import billionths
from costadvisor.common.refusal import Refusal
from costadvisor.spend import formats
from costadvisor.spend.formats import UsageRow
from costadvisor.spend.formats.values import BadValue, currency, month, name
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine
from costadvisor.spend.month import TYPED
from costadvisor.spend.plan import plan_import, rows_in
from costadvisor.spend.selectors import rows_stored, upload_parsed

MAX_ROWS = 100_000
PENDING_FOR = timedelta(days=1)


def upload_create(*, organization: Organization, actor: User, file_name: str, content: bytes) -> PendingUpload:
    """Keeps a file for its preview. Raises Refusal for one that is empty, too large or of no known format; one with bad
    lines is kept, for the preview to list them."""
    PendingUpload.objects.filter(created_at__lt=timezone.now() - PENDING_FOR).delete()
    if not content.strip():
        raise Refusal("The file is empty.", field="file")
    if len(content) > settings.MAX_UPLOAD_BYTES:
        limit = settings.MAX_UPLOAD_BYTES // 2**20
        raise Refusal(f"The file is larger than {limit} MiB. Export fewer months at a time.", field="file")
    format_name = formats.detect(content)
    if format_name is None:
        known = ", ".join(form.LABEL for form in formats.FORMATS.values())
        raise Refusal(f"This is no file we can read. Known are: {known}.", field="file")
    parsed = formats.parse(format_name, content, today=timezone.localdate())
    found = len(parsed.rows) + len(parsed.problems)
    if found > MAX_ROWS:
        raise Refusal(f"The file has {found:,} rows; at most {MAX_ROWS:,} can be imported at once.", field="file")
    return PendingUpload.objects.create(
        organization=organization,
        created_by=actor,
        file_name=file_name[:255],
        format_name=format_name,
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
    )


def upload_discard(*, upload: PendingUpload) -> None:
    upload.delete()


@transaction.atomic
def import_commit(*, upload: PendingUpload, actor: User, leave_out_bad_lines: bool = False) -> BillImport:
    """Stores everything usable in the upload, or nothing.

    Rows already stored are skipped, revised ones supersede what was stored. Raises Refusal if the file has bad
    lines and `leave_out_bad_lines` is not set, or if it would change nothing.
    """
    parsed = upload_parsed(upload=upload)
    if parsed.problems and not leave_out_bad_lines:
        raise Refusal(f"{len(parsed.problems)} lines cannot be read. Say that they may be left out, or mend the file.")
    bill_import = _store(
        BillImport(
            organization=upload.organization,
            created_by=actor,
            file_name=upload.file_name,
            format_name=upload.format_name,
            sha256=upload.sha256,
            lines_left_out=len(parsed.problems),
        ),
        parsed.rows,
    )
    upload.delete()
    _record(bill_import, actor, "bill_import_create")
    return bill_import


@transaction.atomic
def monthly_cost_record(
    *, organization: Organization, actor: User, month_text: str, provider: str, amount: Decimal, currency_code: str
) -> BillImport:
    """A provider's cost of one month, typed by hand. Typing another amount for that month replaces it."""
    row = _manual_row(month_text, provider, amount, currency_code)
    bill_import = _store(BillImport(organization=organization, created_by=actor, format_name=TYPED), [row])
    _record(bill_import, actor, "monthly_cost_record")
    return bill_import


@transaction.atomic
def import_remove(*, bill_import: BillImport, actor: User) -> None:
    """Takes an import back; lines that it had revised are current again."""
    later = BillImport.objects.filter(superseded__bill_import=bill_import).order_by("-id").first()
    if later is not None:
        raise Refusal(f"“{later}” of {later.created_at:%Y-%m-%d} revised lines of this import. Remove that one first.")
    _record(bill_import, actor, "bill_import_remove")
    # Its own lines go first: bringing the superseded ones back would break their uniqueness otherwise.
    bill_import.lines.all().delete()
    bill_import.delete()


def _store(bill_import: BillImport, rows: Iterable[UsageRow]) -> BillImport:
    # Two imports of one organization wait for each other; SQLite's IMMEDIATE transaction does the same.
    organization = Organization.objects.select_for_update().get(pk=bill_import.organization_id)
    rows = list(rows)
    plan = plan_import(rows, rows_stored(organization=organization, rows=rows))
    if not plan.changes_something:
        raise Refusal("Everything in it is stored already; nothing was added.")
    bill_import.rows_added = rows_in(plan.added)
    bill_import.rows_revised = rows_in(plan.revised)
    bill_import.rows_unchanged = rows_in(plan.unchanged)
    bill_import.save()
    _supersede(list(plan.revised), bill_import)
    SpendLine.objects.bulk_create(
        (
            _line(bill_import, identity, ordinal, row)
            for identity, bucket in (plan.added | plan.revised).items()
            for ordinal, row in enumerate(bucket)
        ),
        batch_size=1000,
    )
    return bill_import


def _supersede(identities: list[str], bill_import: BillImport) -> None:
    current = SpendLine.current.filter(organization_id=bill_import.organization_id)
    for start in range(0, len(identities), 500):  # databases bound the number of values in one query
        current.filter(identity__in=identities[start : start + 500]).update(superseded_by=bill_import)


def _line(bill_import: BillImport, identity: str, ordinal: int, row: UsageRow) -> SpendLine:
    return SpendLine(
        organization=bill_import.organization,
        bill_import=bill_import,
        identity=identity,
        ordinal=ordinal,
        month=row.period_start.date().replace(day=1),
        **asdict(row),
    )


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
