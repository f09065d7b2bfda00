"""A chart for print: an SVG drawn by matplotlib, the same bytes every time. Text is drawn as outlines."""

from collections.abc import Callable
from io import StringIO
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from costadvisor.charts.chart import (
    Axis,
    Chart,
    LineChart,
    RangeChart,
    ReferenceLine,
    Series,
    Unit,
    look_of,
    tick_text,
)

# A fixed salt and no date make the output reproducible; a shipped font makes it the same on every machine.
STYLE: Any = {
    "svg.hashsalt": "costadvisor",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}
GREY = "#555555"
LONGEST_IN_THREE = 28
DASHES = {"solid": "-", "dash": (0, (6, 2)), "dot": (0, (1.5, 1.5)), "dashdot": (0, (6, 2, 1.5, 2))}


def svg(chart: Chart, *, width_mm: float = 174, height_mm: float = 78) -> str:
    """The chart as an `<svg>` element, fit for a file or to stand in HTML; its title is the chart's sentence."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        if isinstance(chart, RangeChart):
            _draw_ranges(axes, chart)
        else:
            _draw_lines(axes, chart)
        _draw_legend(figure, axes)
        page = StringIO()
        figure.savefig(page, format="svg", metadata={"Title": chart.sentence, "Date": None, "Creator": None})
    drawn = page.getvalue()
    return drawn[drawn.index("<svg") :]


def _draw_legend(figure: Figure, axes: Axes) -> None:
    """Under the plot, in as many columns as the longest name leaves room for."""
    names = axes.get_legend_handles_labels()[1]
    columns = 3 if max(map(len, names), default=0) <= LONGEST_IN_THREE else 2
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, handlelength=3.5)


def _draw_lines(axes: Axes, chart: LineChart) -> None:
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    for index, series in enumerate(chart.series):
        _draw_series(axes, series, index)
    for span in chart.spans:
        axes.axvspan(span.start, span.end, facecolor="#e8f2f9", edgecolor="#56B4E9", linewidth=0.6, zorder=0)
        _label(axes, span.start, span.label, 0.98, "top")
    for number, line in enumerate(chart.lines):
        _draw_rule(axes, line, height=0.03 + 0.07 * number)
    # Last, for a limit set before would shut out a rule far from the data, and leave its label off the page.
    _draw_axis(axes, "x", chart.x)
    _draw_axis(axes, "y", chart.y)


def _draw_series(axes: Axes, series: Series, index: int) -> None:
    look = look_of(index)
    axes.plot(
        series.x,
        series.y,
        label=series.name,
        color=look.colour,
        linestyle=DASHES[look.dash],
        linewidth=1.6,
        drawstyle="steps-post" if series.step else "default",
    )


def _draw_ranges(axes: Axes, chart: RangeChart) -> None:
    places = range(len(chart.rows))
    lows, highs = [row.at_low for row in chart.rows], [row.at_high for row in chart.rows]
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.hlines(places, lows, highs, color="#999999", linewidth=4, zorder=2)
    low_look, high_look = look_of(1).colour, look_of(2).colour
    axes.scatter(lows, places, s=34, marker="o", color=low_look, label="input at its low", zorder=3)
    axes.scatter(
        highs, places, s=34, marker="s", facecolor="white", edgecolor=high_look, linewidth=1.4,
        label="input at its high", zorder=3,
    )  # fmt: skip
    for place, row in zip(places, chart.rows, strict=True):
        rises = row.at_low <= row.at_high
        _write_end(axes, row.at_low, place, row.low_text, leftward=rises)
        _write_end(axes, row.at_high, place, row.high_text, leftward=not rises)
    axes.set_yticks(list(places), [row.label for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.4, -0.6)
    axes.margins(x=0.14)
    _draw_axis(axes, "x", chart.x)
    for line in chart.lines:
        _draw_rule(axes, line, height=1.01)


def _write_end(axes: Axes, value: float, row: int, text: str, *, leftward: bool) -> None:
    """The input's value beside the outer side of its mark."""
    axes.annotate(
        text, (value, row), xytext=(-5 if leftward else 5, 0), textcoords="offset points", fontsize=7,
        va="center", ha="right" if leftward else "left",
    )  # fmt: skip


def _draw_axis(axes: Axes, name: str, axis: Axis) -> None:
    drawn = axes.xaxis if name == "x" else axes.yaxis
    (axes.set_xlabel if name == "x" else axes.set_ylabel)(axis.title)
    if axis.scale == "log":
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        drawn.set_major_locator(LogLocator(base=10))
        drawn.set_minor_locator(NullLocator())
    else:
        drawn.set_major_locator(MaxNLocator(nbins=7))
    if axis.from_zero:
        (axes.set_xlim if name == "x" else axes.set_ylim)(0)
    drawn.set_major_formatter(FuncFormatter(_formatter(axis.unit)))
    if axis.ticks:
        texts = dict(axis.ticks)
        drawn.set_major_locator(FixedLocator(list(texts)))
        drawn.set_major_formatter(FuncFormatter(lambda value, _: texts.get(value, "")))


def _formatter(unit: Unit) -> Callable[[float, int], str]:
    return lambda value, _: tick_text(value, unit)


def _draw_rule(axes: Axes, line: ReferenceLine, *, height: float) -> None:
    """`height` is where on the y axis an upright line is labelled, as a share: labels must not meet."""
    if line.across == "x":
        axes.axvline(line.value, color=GREY, linewidth=1, linestyle=":")
        _label(axes, line.value, line.label, height, "bottom")
    else:
        axes.axhline(line.value, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            line.label, (1, line.value), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", fontsize=7, ha="right", color=GREY,
        )  # fmt: skip


def _label(axes: Axes, x: float, text: str, height: float, align: Literal["top", "bottom"]) -> None:
    axes.annotate(
        text, (x, height), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", fontsize=7, va=align, color="#333333",
    )  # fmt: skip
