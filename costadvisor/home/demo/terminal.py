"""A calibration's progress: a bar on a terminal, and a line for each step anywhere else."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from costadvisor.calibration.models import CalibrationJob
from costadvisor.calibration.progress import Progress as Heard
from costadvisor.common.templatetags.figures import duration, quantity
from costadvisor.home.demo.measurement import Show


@contextlib.contextmanager
def bar() -> Iterator[Show]:
    phase, details = TextColumn("{task.fields[phase]}"), TextColumn("{task.description}")
    with Progress(phase, BarColumn(30), TaskProgressColumn(), details, auto_refresh=False) as progress:
        task = progress.add_task("", total=100, phase="")
        shown: dict[str, Any] = {}

        def show(job: CalibrationJob) -> None:
            nonlocal shown
            news: dict[str, Any] = {"phase": _phase(job), "completed": _percent(job), "description": _details(job)}
            if news != shown:  # drawing costs the machine that is being measured
                progress.update(task, refresh=True, **news)
            shown = news

        yield show


@contextlib.contextmanager
def lines(write: Callable[[str], None]) -> Iterator[Show]:
    """Through `write`, which gets a line whenever the calibration does something new."""
    written: tuple[str, str] | None = None

    def show(job: CalibrationJob) -> None:
        nonlocal written
        news = (_phase(job), _message(job))
        if news != written:
            write(f"{_percent(job):5.0f} %  {': '.join(filter(None, news))}")
        written = news

    yield show


def _heard(job: CalibrationJob) -> Heard | None:
    """What the engine said last, while it works."""
    return job.progress if job.is_unfinished else None


def _phase(job: CalibrationJob) -> str:
    heard = _heard(job)
    return heard.phase_name if heard else job.get_state_display()


def _percent(job: CalibrationJob) -> float:
    heard = _heard(job)
    if heard:
        return heard.percent
    return 0 if job.is_unfinished else 100


def _message(job: CalibrationJob) -> str:
    heard = _heard(job)
    return heard.message if heard else ""


def _details(job: CalibrationJob) -> str:
    """What the engine does, how fast, and how long it will go on."""
    heard, parts = _heard(job), [_message(job)]
    if heard and heard.output_tokens_per_s is not None:
        parts.append(f"{quantity(heard.output_tokens_per_s)} output tokens/s")
    if heard and heard.seconds_left is not None:
        parts.append(f"about {duration(heard.seconds_left)} left")
    return ", ".join(parts)
