"""A child process in a session of its own, spoken to in JSON lines over its standard streams."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.targets import Stopped, TargetError
from engine.errors import InputError

LOOK_UP_EVERY_S = 0.5  # from waiting for the child, to see whether we were told to stop
GRACE_S = 5.0
KEPT_ERROR_LINES = 20


class Child:
    """Starts it, asks it things, and ends it by closing its input. `name` is what errors call it: "the engine", say."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._command = command
        self._name = name
        self._process: subprocess.Popen[str] | None = None
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._listeners: list[threading.Thread] = []
        self._errors: deque[str] = deque(maxlen=KEPT_ERROR_LINES)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for listen, stream in ((self._listen, self._process.stdout), (self._overhear, self._process.stderr)):
            self._listeners.append(threading.Thread(target=listen, args=(stream,), daemon=True))
            self._listeners[-1].start()

    def send(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise TargetError(f"{self._name} was not started")
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise TargetError(f"{self._name}'s process ended: {self._last_words()}") from None

    def answer(self, event: str, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Wait for an event; raises Stopped when told to end meanwhile."""
        while True:
            message = self._next()
            if message is not None and message["event"] == event:
                return message
            if stopped():
                raise Stopped

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        """Have it run a level, and pass its progress on."""
        self.send({"command": "level", "spec": spec.to_json()})
        interrupted = False
        while True:
            message = self._next()
            if message is not None and message["event"] == "level":
                return LevelLog.from_json(message["log"])
            if message is not None:
                report(message["seconds"], message["tokens"])
            if stopped() and not interrupted:
                interrupted = True
                self.send({"command": "stop"})

    def pids(self) -> tuple[int, ...]:
        return () if self._process is None else (self._process.pid,)

    def close(self) -> None:
        """Close the child's standard input, which ends it; kill its whole session if it does not go."""
        process = self._process
        if process is None:
            return
        _close(process.stdin)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for listener in self._listeners:
            listener.join()
        _close(process.stdout)
        _close(process.stderr)

    def _next(self) -> dict[str, Any] | None:
        """The child's next message, or None when there is none yet; raises when it refused, failed or died."""
        try:
            message = self._messages.get(timeout=LOOK_UP_EVERY_S)
        except queue.Empty:
            return None
        if message is None:
            raise TargetError(f"{self._name}'s process ended: {self._last_words()}")
        if message["event"] == "refused":
            raise InputError(message["message"])
        if message["event"] == "failed":
            raise TargetError(f"{self._name} failed: {message['message']}")
        return message

    def _listen(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._messages.put(json.loads(line))
        self._messages.put(None)

    def _overhear(self, stderr: IO[str]) -> None:
        self._errors.extend(line.strip() for line in stderr if line.strip())

    def _last_words(self) -> str:
        """The end of standard error, which may come a moment after that of standard output."""
        self._listeners[-1].join(LOOK_UP_EVERY_S)
        return self._errors[-1] if self._errors else "it said nothing"


def _close(stream: IO[str] | None) -> None:
    """Close a pipe; what could not be sent any more is lost with its reader."""
    with contextlib.suppress(BrokenPipeError):
        if stream is not None:
            stream.close()
