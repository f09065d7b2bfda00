"""A program as a child process: its lines as they come, and an end for all of it whatever happens. No Django.

The child leads a session of its own: what it starts can be ended with it, and a Ctrl-C meant for the worker does not
reach it. Its standard input is a pipe that nobody writes to. However suddenly this process dies, the pipe closes, and
the child, which watches it, ends itself.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

LOOK_UP_EVERY_S = 0.2
LONGEST_LINE = 64 * 1024
KEPT_ERROR_LINES = 20


class StopReason(Enum):
    CANCEL = "cancel"
    OVERDUE = "overdue"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class Ended:
    """How the child ended: exit code (negative: a signal's number), why it was told to stop, its last error line."""

    returncode: int
    stopped: StopReason | None
    last_words: str


@dataclass(frozen=True)
class Limits:
    """Seconds until the child is told to stop, and after that until it is killed."""

    deadline_s: float
    grace_s: float


Tick = Callable[[Sequence[str]], StopReason | None]


def supervise(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], limits: Limits, tick: Tick
) -> Ended:
    """Runs `command` in `folder` to its end. `tick` gets the new lines of its standard output a few times a second and
    may answer why to stop it; then it gets SIGTERM, and after the grace SIGKILL with all that it started."""
    child = _Child(command, folder, environment)
    try:
        stopped = _watch(child, limits, tick)
    finally:
        child.end()
    tick(child.lines(wait_s=0))
    return Ended(child.returncode, stopped, child.last_words)


def _watch(child: "_Child", limits: Limits, tick: Tick) -> StopReason | None:
    stopped: StopReason | None = None
    stop_at = time.monotonic() + limits.deadline_s
    while child.runs():
        reason = tick(child.lines(wait_s=LOOK_UP_EVERY_S))
        if reason is None and time.monotonic() >= stop_at:
            reason = StopReason.OVERDUE
        if stopped is None and reason is not None:
            stopped, stop_at = reason, time.monotonic() + limits.grace_s
            child.ask_to_end()
        elif stopped is not None and time.monotonic() >= stop_at:
            break
    return stopped


class _Child:
    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=KEPT_ERROR_LINES)
        self._readers = [
            threading.Thread(target=_read, args=(stream, keep), daemon=True)
            for stream, keep in ((self._process.stdout, self._lines.put), (self._process.stderr, self._errors.append))
        ]
        for reader in self._readers:
            reader.start()

    def runs(self) -> bool:
        # WNOWAIT leaves an ended child as it is: until it is waited for, nobody else can get its process group's id.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def lines(self, *, wait_s: float) -> list[str]:
        """The lines since the last call, waiting so long for the first."""
        found: list[str] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._lines.get(timeout=wait_s))
            while True:
                found.append(self._lines.get_nowait())
        return found

    def ask_to_end(self) -> None:
        """To the child alone: it knows how to end what it started."""
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Kills what is left of its process group, and waits for it and for its last lines."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of ended processes only
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    @property
    def returncode(self) -> int:
        return self._process.wait()

    @property
    def last_words(self) -> str:
        return next((line.strip() for line in reversed(self._errors) if line.strip()), "")


def _read(stream: IO[str], keep: Callable[[str], None]) -> None:
    with contextlib.suppress(ValueError):  # closed while something that left the process group still holds it
        for line in iter(lambda: stream.readline(LONGEST_LINE), ""):
            keep(line)
