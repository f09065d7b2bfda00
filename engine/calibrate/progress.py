"""What a calibration says while it works: a bar on a terminal, JSON lines anywhere else.

A line has `phase`, `percent` and `message`; `seconds_left`, and while a level runs `output_tokens_per_s`; the last one
`record` and `sha256`.
"""

import json
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from engine.calibrate.bench import Announce

LAST = ("done", "stopped")


def reporter(stream: IO[str] | None = None) -> Announce:
    """For this stream (default: standard output)."""
    stream = stream or sys.stdout
    return Bar(Console(file=stream)) if stream.isatty() else Lines(stream)


class Lines:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, phase: str, percent: float, message: str, more: dict[str, Any]) -> None:
        line = {"phase": phase, "percent": round(percent, 1), "message": message, **more}
        print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)


class _Described(Progress):
    """A message in the bar's own line would, being long, squeeze the bar to nothing."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield from (Text(task.description, no_wrap=True, overflow="ellipsis") for task in self.tasks)


class Bar:
    """A line that moves, of phase, bar, percent, time left and tokens per second, and below it what is going on."""

    def __init__(self, console: Console) -> None:
        self._speed = ""
        self._progress = _Described(
            TextColumn("{task.fields[phase]}", justify="left"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[speed]}"),
            console=console,
        )
        self._task = self._progress.add_task("", total=100.0, phase="", left="", speed="")

    def __call__(self, phase: str, percent: float, message: str, more: dict[str, Any]) -> None:
        if phase in LAST:
            self._progress.stop()
            for line in (message, *(f"  ! {flag}" for flag in more.get("flags", ()))):
                self._progress.console.print(line, markup=False, highlight=False)
            return
        self._progress.start()
        if "output_tokens_per_s" in more:
            self._speed = f"{more['output_tokens_per_s']:.4g} tok/s"
        self._progress.update(
            self._task,
            completed=percent,
            description=message,
            phase=phase.replace("_", " "),
            left=_clock(more.get("seconds_left", 0)),
            speed=self._speed,
        )

    def close(self) -> None:
        self._progress.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
