"""`manage.py demo`: bill, workload, a real calibration of this machine, decision and PDF, headless."""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from costadvisor.common.refusal import Refusal
from costadvisor.home.demo.answer import Decided, decide, files_write
from costadvisor.home.demo.example import example_load
from costadvisor.home.demo.measurement import MODEL, MOST_MINUTES, check_model, measure
from costadvisor.home.demo.summary import summary
from costadvisor.home.demo.terminal import bar, lines
from costadvisor.home.processes import WORKER, Child, ChildEndedError, interrupted_by_signals, running
from costadvisor.reports.pdf import PdfUnavailableError, check_printing

FAILED, REFUSED, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """Exits 0 with an answer, 2 where something is missing, 1 if the worker failed, 130 on Ctrl-C.

    The example lives in the installation's own database, where `make run` shows it, as the organization Demo.
    """

    help = "Take the example through every room: bill, workload, calibration, decision, PDF."

    def handle(self, *_: Any, **__: Any) -> None:
        try:
            check_printing()
            check_model()
            with interrupted_by_signals():
                decided = self._decided()
                files = files_write(decided, _folder())
        except (PdfUnavailableError, Refusal) as error:
            self._end(str(error), REFUSED)
        except ChildEndedError as error:
            self._end(str(error), FAILED)
        except KeyboardInterrupt:
            self._end("Interrupted. No worker is left, and a calibration that ran is cancelled.", INTERRUPTED)
        self.stdout.write(f"\n{summary(decided)}\n\nwritten: {' '.join(map(_shown, files))}")

    def _decided(self) -> Decided:
        call_command("migrate", verbosity=0)
        example = example_load(self._tell)
        self._tell(f"Calibration: {MODEL} on this machine, at most {MOST_MINUTES} minutes.")
        with (
            running(Child("The worker", WORKER, log=_folder() / "worker.log")) as worker,
            bar() if self.stdout.isatty() else lines(self.stdout.write) as show,
        ):
            measurement = measure(example, worker=worker, show=show)
        self._tell("Recommendation: deciding and printing.")
        return decide(example, measurement)

    def _tell(self, line: str) -> None:
        self.stdout.write(f"==> {line}")
        self.stdout.flush()

    def _end(self, line: str, code: int) -> None:
        self.stderr.write(line)
        sys.exit(code)


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "demo"


def _shown(file: Path) -> str:
    """Relative to where the command was started, where it lies below."""
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)
