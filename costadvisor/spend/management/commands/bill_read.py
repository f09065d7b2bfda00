"""Reads an uploaded file that is too large to be read while its sender waits; the web process starts it."""

from typing import Any

from django.core.management.base import BaseCommand

from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.models import PendingUpload
from costadvisor.spend.services.uploads import upload_fail, upload_read


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("upload_id", type=int)

    def handle(self, *_: Any, upload_id: int, **__: Any) -> None:
        upload = PendingUpload.objects.get(pk=upload_id)
        try:
            with staging.file_of(upload).open("rb") as stream:
                upload_read(upload=upload, stream=stream)
        except Refusal as refusal:
            upload_fail(upload=upload, reason=str(refusal))
        except Exception:
            upload_fail(upload=upload, reason="Something went wrong while it was read; the log has what.")
            raise
