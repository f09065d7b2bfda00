"""How far the step model is off, step by step, from the raw rows that lie beside a record."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.calibrate.level import StepRow, turns
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.plots.chart import Axis, Chart, Rule, Series, Table, figure
from engine.calibrate.record import Record
from engine.calibrate.step_model import MOST_MDAPE, StepModel
from engine.errors import InputError

MOST_DRAWN = 1200  # steps of a kind; evenly chosen
SHOWN = 0.3  # error beyond which a step is not drawn
KINDS = ("decodes only", "with prompt tokens")


@dataclass(frozen=True, slots=True)
class Residual:
    """One step of a level: milliseconds predicted, and by which share of that it took longer."""

    level: str
    prefills: bool
    predicted_ms: float
    error: float


def residuals_read(record: Record, beside: Path) -> list[Residual]:
    """Of the levels the model was fitted on; `beside` is the record's file. Raises InputError without its raw rows."""
    fit, raw = record.derived.step_model, record.raw
    if fit is None or raw is None:
        raise InputError("the record has no step model with raw rows")
    path = beside.with_name(Path(raw.file).name)
    try:
        data = path.read_bytes()
    except OSError:
        raise InputError(f"the raw rows {path.name} are not beside the record") from None
    if hashlib.sha256(data).hexdigest() != raw.sha256:
        raise InputError(f"{path.name} is not the file of raw rows that the record names")
    model = StepModel.read(fit.coefficients)
    levels = _steps(path, data)
    return [_residual(model, level, step) for level in levels if level in fit.levels for step in turns(levels[level])]


def _steps(path: Path, data: bytes) -> dict[str, list[StepRow]]:
    levels: dict[str, list[StepRow]] = {}
    try:
        header, *lines = (json.loads(line) for line in gzip.decompress(data).splitlines())
        columns = header["step"]
        for kind, level, *values in lines:
            if kind == "step":
                named = dict(zip(columns, values, strict=True))
                row = StepRow(**{name: named[name] for name in StepRow._fields})
                levels.setdefault(level, []).append(row)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} holds no raw rows ({error})") from None
    return levels


def _residual(model: StepModel, level: str, step: StepRow) -> Residual:
    predicted = model.of(step)
    return Residual(level, step.prefill_tokens > 0, predicted, step.ms / predicted - 1)


def residual_chart(found: Sequence[Residual]) -> Chart:
    """Each step's time against the model's, at least one."""
    errors = [step.error for step in found]
    slower = sum(step.predicted_ms * (1 + step.error) for step in found) / sum(step.predicted_ms for step in found) - 1
    half, most = (nearest_rank([abs(error) for error in errors], share) for share in (0.5, 0.95))
    return Chart(
        id="residuals",
        title="Step times against the step model",
        sentence=(
            f"Half of {len(found):,} steps took within {100 * half:.1f} % of what the model says, 95 % of them within "
            f"{100 * most:.1f} %; in all they took {100 * abs(slower):.1f} % {'longer' if slower >= 0 else 'less'}. "
            f"The model may predict while a typical step of a level it has not seen is within {100 * MOST_MDAPE:.0f} %."
        ),
        x=Axis("predicted, ms a step", 0.0, 1.05 * max(step.predicted_ms for step in found)),
        y=Axis("measured, over predicted", -SHOWN, SHOWN, percent=True),
        series=tuple(_marks(found, prefills) for prefills in (False, True)),
        rules=(
            Rule("y", MOST_MDAPE, f"+{100 * MOST_MDAPE:.0f} %"),
            Rule("y", -MOST_MDAPE, f"-{100 * MOST_MDAPE:.0f} %"),
        ),
        table=Table(
            ("level", "steps", "how many", "5 % below", "median", "5 % above"),
            tuple(_rows(found)),
        ),
    )


def _marks(found: Sequence[Residual], prefills: bool) -> Series:
    steps = [step for step in found if step.prefills is prefills]
    chosen = steps[:: -(-len(steps) // MOST_DRAWN)] if steps else []
    return Series(
        KINDS[prefills], "marks", tuple(step.predicted_ms for step in chosen), tuple(step.error for step in chosen)
    )


def _rows(found: Sequence[Residual]) -> Iterator[tuple[str, ...]]:
    for level in dict.fromkeys(step.level for step in found):
        for prefills in (False, True):
            errors = [step.error for step in found if step.level == level and step.prefills is prefills]
            if errors:
                shares = [_percent(nearest_rank(errors, share)) for share in (0.05, 0.5, 0.95)]
                yield level, KINDS[prefills], figure(len(errors)), *shares


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f} %"  # + 0.0 makes -0.0 a plain zero
