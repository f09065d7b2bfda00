"""A chart as data: what is drawn, what it says in one sentence, and its numbers as a table.

Renderers only draw. A series is told from the others by its dash as much as by its colour, so that nothing is
lost in grey or to a colour-blind reader.
"""

from dataclasses import dataclass
from typing import Literal

Scale = Literal["linear", "log"]
Unit = Literal["usd", "count", "requests_per_s", "hour"]


@dataclass(frozen=True)
class Axis:
    title: str
    unit: Unit
    scale: Scale = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    from_zero: bool = False


@dataclass(frozen=True)
class Series:
    """Points in order of x; a step holds its value until the next."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    step: bool = False


@dataclass(frozen=True)
class ReferenceLine:
    """A labelled line across the plot at one value of the `across` axis."""

    across: Literal["x", "y"]
    value: float
    label: str


@dataclass(frozen=True)
class Span:
    """A labelled stretch of the x axis."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Table:
    """The chart's numbers, ready to read; `unit` of each column is in its heading."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class LineChart:
    id: str
    title: str
    sentence: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    table: Table
    lines: tuple[ReferenceLine, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Reach:
    """One row of a range chart: what the y axis names, where it lies at its input's low and high, and those inputs."""

    label: str
    at_low: float
    at_high: float
    low_text: str
    high_text: str


@dataclass(frozen=True)
class RangeChart:
    """Rows that each reach from one value to another, widest first: a tornado."""

    id: str
    title: str
    sentence: str
    x: Axis
    rows: tuple[Reach, ...]
    table: Table
    lines: tuple[ReferenceLine, ...] = ()


Chart = LineChart | RangeChart


@dataclass(frozen=True)
class Look:
    """How the n-th series is drawn. Colours: Okabe and Ito (2008), told apart by every kind of colour vision."""

    colour: str
    dash: Literal["solid", "dash", "dot", "dashdot"]


LOOKS = (
    Look("#000000", "solid"),
    Look("#D55E00", "dash"),
    Look("#0072B2", "dashdot"),
    Look("#009E73", "dot"),
    Look("#CC79A7", "solid"),
    Look("#56B4E9", "dash"),
)


def look_of(index: int) -> Look:
    return LOOKS[index % len(LOOKS)]


def tick_text(value: float, unit: Unit) -> str:
    """A short label for an axis: $10k, 2.5M, 40."""
    sign, size = ("\u2212" if value < 0 else ""), abs(value)
    for scale, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= scale:
            return f"{sign}{'$' if unit == 'usd' else ''}{size / scale:.4g}{suffix}"
    return f"{sign}{'$' if unit == 'usd' else ''}{size:.4g}"
