"""A calibration's progress: a bar on a terminal, and a line for each step anywhere else."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from costadvisor.calibration.models import CalibrationJob
from costadvisor.calibration.progress import STARTING
from costadvisor.common.templatetags.figures import duration, quantity
from costadvisor.home.demo.measurement import Show


@contextlib.contextmanager
def bar() -> Iterator[Show]:
    """Drawn anew only when there is news: drawing costs the machine that is being measured."""
    columns = (
        TextColumn("{task.fields[phase]}"),
        BarColumn(30),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(), auto_refresh=False) as progress:
        task = progress.add_task("", total=100, phase="")

        def show(job: CalibrationJob) -> None:
            heard = job.progress or STARTING
            phase = heard.phase_name if job.progress else job.get_state_display()
            progress.update(task, completed=heard.percent, phase=phase, description=_details(job), refresh=True)

        yield show


@contextlib.contextmanager
def lines(write: Callable[[str], None]) -> Iterator[Show]:
    """Through `write`, which gets a line whenever the calibration says something new."""
    said = ""

    def show(job: CalibrationJob) -> None:
        nonlocal said
        heard = job.progress
        news = f"{heard.phase_name}: {heard.message}" if heard else job.get_state_display()
        if news != said:
            write(f"{heard.percent if heard else 0:5.0f} %  {news}")
        said = news

    yield show


def _details(job: CalibrationJob) -> str:
    """What the engine does, how fast, and how long it will go on."""
    heard = job.progress or STARTING
    parts = [heard.message]
    if heard.output_tokens_per_s is not None:
        parts.append(f"{quantity(heard.output_tokens_per_s)} output tokens/s")
    if heard.seconds_left is not None:
        parts.append(f"about {duration(heard.seconds_left)} left")
    return ", ".join(parts)
