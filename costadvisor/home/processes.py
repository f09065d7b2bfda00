"""Programs of ours that a command starts beside itself, and ends whatever happens: a worker, a web server."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings

WORKER = (sys.executable, "-m", "celery", "-A", "costadvisor", "worker", "-Q", "cpu,gpu", "-P", "solo", "-l", "INFO")
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MARGIN_S = 10

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


class ChildEndedError(RuntimeError):
    """A program ended by itself; `str()` is one line."""


class Child:
    """One program, in a session of its own: a Ctrl-C in the terminal reaches the command, which then ends it."""

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.title, self.log = title, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises ChildEndedError if it does not run any more."""
        code = self._process.poll()
        if code is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ChildEndedError(f"{self.title} ended by itself (exit code {code}): {last[0]} ({self.log})")

    def end(self) -> None:
        """Asks it to end, which gives a worker the time to stop its engine, and then kills it."""
        self._process.terminate()
        try:
            self._process.wait(settings.CALIBRATION_GRACE_S + MARGIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def running(child: Child) -> Iterator[Child]:
    """Ends the program with the block. A second Ctrl-C does not cut that short: it would leave the program behind."""
    try:
        yield child
    finally:
        with _handled(END_SIGNALS, signal.SIG_IGN):
            child.end()


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """A closed terminal and `kill` end the block as Ctrl-C does, by KeyboardInterrupt; not so under `nohup`."""
    heard = [number for number in END_SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    with _handled(heard, signal.default_int_handler):
        yield


@contextlib.contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    kept = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, before in kept:
            signal.signal(number, before)
