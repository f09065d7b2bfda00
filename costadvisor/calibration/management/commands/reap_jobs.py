"""`manage.py reap_jobs [--loop]`: takes calibrations from workers that are gone, and sends lost messages again."""

import contextlib
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from costadvisor.calibration.reaper import reap_once, reap_until


class Command(BaseCommand):
    help = "Requeue or fail calibrations whose worker is gone, and send again what the broker lost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until interrupted")

    def handle(self, *_: Any, loop: bool, **__: Any) -> None:
        if loop:
            with contextlib.suppress(KeyboardInterrupt):
                reap_until(threading.Event())
            return
        reaped = reap_once()
        self.stdout.write(f"requeued {reaped.requeued}, ended {reaped.ended}, sent {reaped.sent}")
