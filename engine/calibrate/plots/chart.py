"""A chart as data: what is drawn, what it says in one sentence, and its numbers as a table. Renderers only draw."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

WANTED_TICKS = 7  # at most


@dataclass(frozen=True, slots=True)
class Axis:
    """What lies beyond `start` and `end` is not drawn; `percent` values are shares."""

    title: str
    start: float
    end: float
    percent: bool = False

    def ticks(self) -> list[tuple[float, str]]:
        """A few round values and how they are written."""
        rough = (self.end - self.start) / WANTED_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first = math.ceil(self.start / step - 1e-9)
        values = [step * number for number in range(first, math.floor(self.end / step + 1e-9) + 1)]
        return [(value, _percent(value) if self.percent else figure(value)) for value in values]


def _percent(share: float) -> str:
    return f"{100 * share:+.3g} %" if share else "0 %"


@dataclass(frozen=True, slots=True)
class Series:
    """A line through points, or marks on them; `low` and `high` shade a line's interval, where it has one."""

    name: str
    kind: Literal["line", "marks"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    labels: tuple[str, ...] = ()  # of each mark
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A line right across at one value, up from the x axis or along from the y axis, with its name."""

    axis: Literal["x", "y"]
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the x axis: an interval of what its rule marks."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def wordy(self, column: int) -> bool:
        """Whether a column holds words, which stand to the left, numbers to the right."""
        return not any(row[column][:1].isdigit() or row[column][:1] in "+-" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Chart:
    id: str
    title: str
    sentence: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    table: Table
    rules: tuple[Rule, ...] = ()
    span: Span | None = None


def figure(value: float | None) -> str:
    """Three digits as a person writes them; a dash for what is unknown."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value / 1e6:.3g} million"
    return f"{value:.3g}"


def inside(chart: Chart, series: Series) -> Iterator[tuple[float, float, str]]:
    """The points of a series that lie on the plot, with their labels."""
    labels = series.labels or ("",) * len(series.x)
    for x, y, label in zip(series.x, series.y, labels, strict=True):
        if chart.x.start <= x <= chart.x.end and chart.y.start <= y <= chart.y.end:
            yield x, y, label
