"""Writes uploads: a file taken in, read, and thrown away again."""

import io
from datetime import timedelta
from typing import BinaryIO

from django.conf import settings
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.formats import registry
from costadvisor.spend.formats.mapped_csv import MappedCsv, columns_sha256, unknown_table
from costadvisor.spend.formats.opening import Limits, TooLarge, Unreadable
from costadvisor.spend.formats.reading import Reading
from costadvisor.spend.formats.sniffing import Format
from costadvisor.spend.models import ColumnMapping, PendingUpload, UploadState
from costadvisor.spend.services.beside import run_beside
from costadvisor.spend.staging import Sink, Summary, Teller

PENDING_FOR = timedelta(days=1)
_MIB = 2**20


def limits() -> Limits:
    return Limits(
        unpacked_bytes=settings.BILL_MAX_UNPACKED_BYTES,
        json_bytes=settings.BILL_MAX_JSON_BYTES,
        rows=settings.BILL_MAX_ROWS,
        buckets=settings.BILL_MAX_BUCKETS,
    )


def upload_create(
    *, organization: Organization, actor: User, file_name: str, content: bytes | BinaryIO
) -> PendingUpload:
    """Reads a file for its preview, at once or, if it is large, beside the web process.

    Raises Refusal for one that is empty, too large or no table; one with bad lines is kept, for the preview to list
    them, and so is a CSV of unknown columns, for a person to name them.
    """
    uploads_sweep()
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    size = stream.seek(0, io.SEEK_END)
    size_check(size)
    upload = PendingUpload.objects.create(
        organization=organization,
        created_by=actor,
        file_name=file_name[:255],
        size_bytes=size,
        received_bytes=size,
        sha256=staging.sha256_of(stream),
        folder=staging.folder_make(),
    )
    try:
        upload_take(upload=upload, stream=stream)
    except Exception:
        upload_discard(upload=upload)
        raise
    return upload


def size_check(size_bytes: int) -> None:
    """Raises Refusal, with the limit's name, for a file that is too large."""
    if size_bytes > settings.BILL_MAX_BYTES:
        raise Refusal(
            f"The file is larger than {settings.BILL_MAX_BYTES / _MIB:,.0f} MiB (BILL_MAX_BYTES)."
            " Export fewer months at a time.",
            field="file",
        )


def sha256_check(upload: PendingUpload) -> None:
    """Raises Refusal for a kept file that is not the one that was announced."""
    if staging.sha256_of(staging.file_of(upload)) != upload.sha256:
        raise Refusal("What came has another SHA-256 than was said. Send the file again.", field="sha256")


def upload_take(*, upload: PendingUpload, stream: BinaryIO) -> None:
    """Reads a whole file, at once or beside the web process. Raises Refusal where nothing can be made of it."""
    stream.seek(0)
    if not stream.read(_MIB).strip():
        raise Refusal("The file is empty.", field="file")
    if upload.size_bytes > settings.BILL_READ_AT_ONCE_BYTES:
        staging.file_keep(upload, stream)
        run_beside("bill_read", str(upload.pk))
    else:
        upload_read(upload=upload, stream=stream)


def upload_read(*, upload: PendingUpload, stream: BinaryIO) -> None:
    """Raises Refusal where nothing can be made of the file."""
    try:
        reading = _read(upload, stream)
        table = unknown_table(stream, limits()) if reading is None else None
    except TooLarge as error:
        raise Refusal(str(error), field="file") from error
    except Unreadable as error:
        raise Refusal(f"This is no file we can read: it {error}.", field="file") from error
    if reading is not None:
        if reading.row_count or unknown_table(stream, limits()) is None:
            staging.file_forget(upload)
        else:
            staging.file_keep(upload, stream)  # of a known format, but without its columns: a person may name them
        _understood(upload, reading)
        return
    if table is None:
        raise Refusal(
            "This is no file we can read: it is in no known format, and no CSV with a line of column names.",
            field="file",
        )
    staging.file_keep(upload, stream)
    known = ColumnMapping.objects.filter(
        organization=upload.organization, columns_sha256=columns_sha256(table.columns)
    ).first()
    if known is not None:
        upload_read_mapped(upload=upload, form=MappedCsv.from_choices(known.choices, table.columns))
    else:
        upload.state = UploadState.UNKNOWN
        upload.save()


def upload_read_mapped(*, upload: PendingUpload, form: Format) -> None:
    """Reads a kept file by columns that a person named."""
    with staging.file_of(upload).open("rb") as stream:
        try:
            reading = _read(upload, stream, form)
        except TooLarge as error:
            raise Refusal(str(error)) from error
    if reading is not None:
        _understood(upload, reading)


def upload_map(*, upload: PendingUpload, form: MappedCsv) -> None:
    """Remembers for the organization how this file's columns are named, and reads it so."""
    upload_read_mapped(upload=upload, form=form)
    ColumnMapping.objects.update_or_create(
        organization=upload.organization, columns_sha256=form.columns_sha256, defaults={"choices": form.choices}
    )


def upload_discard(*, upload: PendingUpload) -> None:
    upload.delete()
    staging.folder_remove(upload)


def uploads_sweep() -> None:
    """Deletes what nobody answered for a day."""
    for old in PendingUpload.objects.filter(created_at__lt=timezone.now() - PENDING_FOR):
        upload_discard(upload=old)
    staging.sweep(PENDING_FOR.total_seconds())


def upload_fail(*, upload: PendingUpload, reason: str) -> None:
    upload.state, upload.failure = UploadState.FAILED, reason[:500]
    upload.save()
    staging.folder_remove(upload)


def _read(upload: PendingUpload, stream: BinaryIO, form: Format | None = None) -> Reading | None:
    sink = Sink(staging.folder_of(upload))
    reading = registry.read(
        stream, today=timezone.localdate(), limits=limits(), forced=form, sink=sink, progress=Teller(upload)
    )
    sink.flush()
    return reading


def _understood(upload: PendingUpload, reading: Reading) -> None:
    staging.reading_keep(staging.folder_of(upload), reading)
    upload.format_name = reading.format_name
    upload.summary = Summary.of(reading).as_json()
    upload.state = UploadState.READY
    upload.save()


def upload_not_stored(*, upload: PendingUpload, reason: str) -> None:
    """It is as before it was confirmed, with the reason."""
    PendingUpload.objects.filter(pk=upload.pk, state=UploadState.STORING).update(
        state=UploadState.READY, failure=reason[:500]
    )
