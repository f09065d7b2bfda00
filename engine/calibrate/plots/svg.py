"""All charts of a record as one SVG, for a document: drawn by matplotlib, the same bytes every time."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from engine.calibrate.plots.chart import Chart, Series, inside
from engine.calibrate.plots.html import COLOURS, RULE

# A fixed salt and no date make the output reproducible; a shipped font makes it the same on every machine.
STYLE: Any = {
    "svg.hashsalt": "costadvisor",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH_IN, HEIGHT_IN = 6.9, 3.1  # of one chart
MARKERS = ("o", "D")


def svg(heading: str, charts: Sequence[Chart]) -> str:
    """One above the other."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN * len(charts)), layout="constrained")
        FigureCanvasSVG(figure)
        for place, chart in zip(figure.subplots(len(charts), squeeze=False).flat, charts, strict=True):
            _draw(place, chart)
        page = StringIO()
        figure.savefig(page, format="svg", metadata={"Title": heading, "Date": None, "Creator": None})
    return page.getvalue()


def _draw(axes: Axes, chart: Chart) -> None:
    axes.set_title(chart.title, loc="left", fontweight="bold", fontsize=9.5)
    axes.set(xlim=(chart.x.start, chart.x.end), ylim=(chart.y.start, chart.y.end))
    axes.set(xlabel=chart.x.title, ylabel=chart.y.title)
    for axis, ticks in ((axes.xaxis, chart.x.ticks()), (axes.yaxis, chart.y.ticks())):
        axis.set_ticks([value for value, _ in ticks], labels=[text for _, text in ticks])
    axes.grid(color="#e8e8e8", linewidth=0.6)
    axes.set_axisbelow(True)
    if chart.span:
        axes.axvspan(chart.span.start, chart.span.end, color="#eeeeee", zorder=0, label="95 % interval of λ*")
    for number, series in enumerate(chart.series):
        _series(axes, chart, series, number % 2)
    for rule in chart.rules:
        _rule(axes, chart, rule.axis, rule.value, rule.label)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.1, fontsize=7.5)


def _series(axes: Axes, chart: Chart, series: Series, look: int) -> None:
    colour = COLOURS[look]
    if series.kind == "line":
        axes.plot(series.x, series.y, color=colour, linewidth=1.6, label=series.name)
        if series.low:
            axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.18, linewidth=0)
        return
    faint = not series.labels
    axes.plot(
        series.x, series.y, MARKERS[look], color=colour, label=series.name, linestyle="none",
        markersize=2 if faint else 4.5, alpha=0.35 if faint else 1.0, markeredgewidth=0,
    )  # fmt: skip
    for x, y, label in inside(chart, series):
        if label:
            right = (x - chart.x.start) / (chart.x.end - chart.x.start) > 0.6
            side: dict[str, Any] = {"xytext": (-6 if right else 6, 0), "ha": "right" if right else "left"}
            axes.annotate(label, (x, y), textcoords="offset points", va="center", fontsize=7.5, **side)


def _rule(axes: Axes, chart: Chart, axis: str, value: float, label: str) -> None:
    line: dict[str, Any] = {"color": RULE, "linewidth": 1, "linestyle": (0, (5, 3))}
    text: dict[str, Any] = {"color": RULE, "fontsize": 7.5, "textcoords": "offset points"}
    if axis == "y":
        axes.axhline(value, **line)
        axes.annotate(label, (chart.x.start, value), (3, 2), **text)
        return
    axes.axvline(value, **line)
    right = (value - chart.x.start) / (chart.x.end - chart.x.start) > 0.6
    side: dict[str, Any] = {"xytext": (-3, -9), "ha": "right"} if right else {"xytext": (3, -9), "ha": "left"}
    axes.annotate(label, (value, chart.y.end), **side, **text)
