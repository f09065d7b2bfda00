"""Writes uploads: a file taken in, read, and thrown away again."""

import hashlib
import io
import subprocess
import sys
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
from costadvisor.spend.staging import Sink, Summary

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
    if size > settings.BILL_MAX_BYTES:
        raise Refusal(
            f"The file is larger than {settings.BILL_MAX_BYTES / _MIB:,.0f} MiB (BILL_MAX_BYTES)."
            " Export fewer months at a time.",
            field="file",
        )
    stream.seek(0)
    if not stream.read(_MIB).strip():
        raise Refusal("The file is empty.", field="file")
    upload = PendingUpload.objects.create(
        organization=organization,
        created_by=actor,
        file_name=file_name[:255],
        sha256=_sha256(stream),
        folder=staging.folder_make(),
    )
    try:
        if size > settings.BILL_READ_AT_ONCE_BYTES:
            staging.file_keep(upload, stream)
            _beside("bill_read", upload)
        else:
            upload_read(upload=upload, stream=stream)
    except Exception:
        upload_discard(upload=upload)
        raise
    return upload


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
        _understood(upload, reading)
        staging.file_forget(upload)
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
        stream, today=timezone.localdate(), limits=limits(), forced=form, sink=sink, progress=_Progress(upload)
    )
    sink.flush()
    return reading


class _Progress:
    """Writes the share of the file that is read, once a second."""

    def __init__(self, upload: PendingUpload) -> None:
        self._upload, self._told_at = upload, timezone.now()

    def __call__(self, share: float) -> None:
        now = timezone.now()
        if (now - self._told_at).total_seconds() >= 1:
            self._told_at = now
            PendingUpload.objects.filter(pk=self._upload.pk).update(progress=share, heard_of_at=now)


def _understood(upload: PendingUpload, reading: Reading) -> None:
    staging.reading_keep(staging.folder_of(upload), reading)
    upload.format_name = reading.format_name
    upload.summary = Summary.of(reading).as_json()
    upload.state, upload.progress = UploadState.READY, 1
    upload.save()


def _beside(command: str, upload: PendingUpload, *arguments: str) -> None:
    """Runs a command of `manage.py` in a process of its own, whose memory ends with it."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py"), command, str(upload.pk), *arguments]
    subprocess.Popen(manage, start_new_session=True, stdin=subprocess.DEVNULL)


def _sha256(stream: BinaryIO) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while block := stream.read(_MIB):
        digest.update(block)
    stream.seek(0)
    return digest.hexdigest()
