"""A file sent in parts: announced by name, size and SHA-256, and taken from wherever the sending broke off."""

import re
from contextlib import suppress
from typing import IO

from django.conf import settings

from costadvisor.accounts.models import Organization
from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.models import PendingUpload, UploadState
from costadvisor.spend.services.beside import run_beside
from costadvisor.spend.services.uploads import sha256_check, size_check, upload_fail, upload_read, uploads_sweep

_BLOCK = 2**18


class OutOfPlace(Refusal):
    """The part does not begin where the last one ended, or the file is whole already."""


def upload_announce(
    *, organization: Organization, origin: str, file_name: str, size_bytes: int, sha256: str
) -> PendingUpload:
    """The upload that goes on for a file of this size and hash, else a new one. Raises Refusal for a bad or too large
    announcement."""
    uploads_sweep()
    if not file_name.strip() or len(file_name) > 255:
        raise Refusal("Give the file's name, in at most 255 characters.", field="file_name")
    if size_bytes < 1:
        raise Refusal("Give the file's size in bytes; an empty file says nothing.", field="size_bytes")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise Refusal("Give the file's SHA-256 in 64 hexadecimal digits, lower case.", field="sha256")
    size_check(size_bytes)
    known = PendingUpload.objects.filter(organization=organization, sha256=sha256, size_bytes=size_bytes)
    going_on = known.exclude(state=UploadState.FAILED).order_by("-id").first()
    return going_on or PendingUpload.objects.create(
        organization=organization,
        origin=origin,
        file_name=file_name.strip(),
        size_bytes=size_bytes,
        sha256=sha256,
        folder=staging.folder_make(),
        state=UploadState.RECEIVING,
    )


def chunk_take(*, upload: PendingUpload, offset: int, stream: IO[bytes]) -> None:
    """Adds a part; the last one has the file read, at once or beside the web process.

    A part that breaks off is kept as far as it came. Raises OutOfPlace, and Refusal for bytes beyond the file's size.
    """
    if upload.state != UploadState.RECEIVING:
        raise OutOfPlace("The file is whole already.", field="offset")
    taken = _written(upload, offset, stream) if offset == upload.received_bytes else 0
    mine = PendingUpload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING, received_bytes=offset)
    whole = offset + taken == upload.size_bytes
    state = UploadState.READING if whole else UploadState.RECEIVING
    if not taken or not mine.update(received_bytes=offset + taken, state=state):
        upload.refresh_from_db()
        raise OutOfPlace(f"There are {upload.received_bytes} bytes of it; go on from there.", field="offset")
    upload.refresh_from_db()
    if whole:
        _take_whole(upload)


def _written(upload: PendingUpload, offset: int, stream: IO[bytes]) -> int:
    path, taken = staging.file_of(upload), 0
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(offset)
        with suppress(OSError):  # the sender is gone: what came is kept
            while block := stream.read(_BLOCK):
                if offset + taken + len(block) > upload.size_bytes:
                    raise Refusal("There are more bytes than the file was said to have.", field="offset")
                file.write(block)
                taken += len(block)
    return taken


def _take_whole(upload: PendingUpload) -> None:
    if upload.size_bytes > settings.BILL_READ_AT_ONCE_BYTES:
        run_beside("bill_read", str(upload.pk), "--check-sha256")
        return
    try:
        sha256_check(upload)
        with staging.file_of(upload).open("rb") as stream:
            upload_read(upload=upload, stream=stream)
    except Refusal as refusal:
        upload_fail(upload=upload, reason=str(refusal))
