"""Stores a confirmed upload that is too large to be stored while its sender waits; the web process starts it."""

from typing import Any

from django.core.management.base import BaseCommand

from costadvisor.accounts.models import User
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import PendingUpload
from costadvisor.spend.services.imports import import_commit
from costadvisor.spend.services.uploads import upload_not_stored


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("upload_id", type=int)
        parser.add_argument("--actor", type=int)
        parser.add_argument("--leave-out", action="store_true")

    def handle(self, *_: Any, upload_id: int, actor: int | None, leave_out: bool, **__: Any) -> None:
        upload = PendingUpload.objects.get(pk=upload_id)
        try:
            person = User.objects.get(pk=actor) if actor else None
            import_commit(upload=upload, actor=person, leave_out_bad_lines=leave_out)
        except Refusal as refusal:
            upload_not_stored(upload=upload, reason=str(refusal))
        except Exception:
            upload_not_stored(upload=upload, reason="Something went wrong while it was stored; the log has what.")
            raise
