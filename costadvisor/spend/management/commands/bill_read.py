"""Reads an uploaded file that is too large to be read while its sender waits; the web process starts it."""

from typing import Any

from django.core.management.base import BaseCommand

from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.models import PendingUpload
from costadvisor.spend.services.uploads import sha256_check, upload_fail, upload_read


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("upload_id", type=int)
        parser.add_argument("--check-sha256", action="store_true", help="of a file that came in parts")

    def handle(self, *_: Any, upload_id: int, check_sha256: bool, **__: Any) -> None:
        upload = PendingUpload.objects.get(pk=upload_id)
        try:
            if check_sha256:
                sha256_check(upload)
            with staging.file_of(upload).open("rb") as stream:
                upload_read(upload=upload, stream=stream)
        except Refusal as refusal:
            upload_fail(upload=upload, reason=str(refusal))
        except Exception:
            upload_fail(upload=upload, reason="Something went wrong while it was read; the log has what.")
            raise
