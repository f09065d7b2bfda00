"""A chart for a page: the JSON that plotly.js draws. Plain data; the plotly package is not needed to make it."""

from typing import Any

from costadvisor.charts.chart import Axis, Chart, LineChart, RangeChart, ReferenceLine, Series, look_of

Json = dict[str, Any]
GREY = "#555555"
SHADE = "rgba(86, 180, 233, 0.18)"


def plotly_figure(chart: Chart) -> Json:
    """`{"data": [...], "layout": {...}}` as plotly.js takes it."""
    if isinstance(chart, RangeChart):
        return _range_figure(chart)
    return _line_figure(chart)


def _line_figure(chart: LineChart) -> Json:
    traces = [_trace(series, index) for index, series in enumerate(chart.series)]
    shapes = [_rule(line) for line in chart.lines]
    shapes += [
        {
            "type": "rect", "xref": "x", "yref": "paper", "layer": "below",
            "x0": span.start, "x1": span.end, "y0": 0, "y1": 1,
            "fillcolor": SHADE, "line": {"width": 0},
            "label": {"text": span.label, "textposition": "top left"},
        }
        for span in chart.spans
    ]  # fmt: skip
    return {"data": traces, "layout": _layout(_axis(chart.x), _axis(chart.y), shapes)}


def _trace(series: Series, index: int) -> Json:
    look = look_of(index)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": series.name,
        "x": list(series.x),
        "y": list(series.y),
        "line": {
            "color": look.colour,
            "dash": look.dash,
            "width": 2.5,
            "shape": "hv" if series.step else "linear",
        },
    }


def _range_figure(chart: RangeChart) -> Json:
    labels = [row.label for row in chart.rows]
    between: Json = {
        "type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip",
        "x": [x for row in chart.rows for x in (row.at_low, row.at_high, None)],
        "y": [y for row in chart.rows for y in (row.label, row.label, None)],
        "line": {"color": "#999999", "width": 6},
    }  # fmt: skip
    rising = [row.at_low <= row.at_high for row in chart.rows]
    low_mark = {"color": look_of(1).colour, "symbol": "circle", "size": 11}
    high_mark = {"color": look_of(2).colour, "symbol": "square-open", "size": 11}
    ends = (
        (True, "input at its low", [row.at_low for row in chart.rows], [row.low_text for row in chart.rows]),
        (False, "input at its high", [row.at_high for row in chart.rows], [row.high_text for row in chart.rows]),
    )
    traces = [
        {
            "type": "scatter", "mode": "markers+text", "name": name, "x": values, "y": labels, "text": texts,
            "textposition": [f"middle {'left' if rises is low else 'right'}" for rises in rising],
            "cliponaxis": False,
            "marker": low_mark if low else high_mark,
        }
        for low, name, values, texts in ends
    ]  # fmt: skip
    # Texts to the left of the first marks keep clear of the rows' names, and labels of the right edge.
    rows = {"type": "category", "autorange": "reversed", "automargin": True, "ticklabelstandoff": 44}
    rules = [_rule(line, left=True) for line in chart.lines]
    return {"data": [between, *traces], "layout": _layout(_axis(chart.x), rows, rules)}


def _layout(x: Json, y: Json, shapes: list[Json]) -> Json:
    return {
        "xaxis": x,
        "yaxis": y,
        "shapes": shapes,
        "legend": {"orientation": "h", "y": -0.25},
        "margin": {"l": 72, "r": 32, "t": 16, "b": 64},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": "#111111"},
        "hovermode": "closest",
    }


def _axis(axis: Axis) -> Json:
    drawn: Json = {
        "title": {"text": axis.title},
        "type": axis.scale,
        "gridcolor": "#dddddd",
        "automargin": True,
    }
    if axis.ticks:
        values, texts = zip(*axis.ticks, strict=True)
        drawn |= {"tickmode": "array", "tickvals": list(values), "ticktext": list(texts)}
    elif axis.unit == "usd":
        drawn["tickformat"] = "$~s"
    if axis.scale == "log":
        drawn["dtick"] = 1  # powers of ten
    if axis.from_zero:
        drawn["rangemode"] = "tozero"
    return drawn


def _rule(line: ReferenceLine, *, left: bool = False) -> Json:
    """Labels run upwards along their line, to its right or left, so that those of neighbours do not meet."""
    along, other = ("x", "y") if line.across == "x" else ("y", "x")
    return {
        "type": "line", f"{along}ref": along, f"{other}ref": "paper",
        f"{along}0": line.value, f"{along}1": line.value, f"{other}0": 0, f"{other}1": 1,
        "line": {"color": GREY, "width": 1.5, "dash": "dot"},
        "label": {
            "text": line.label, "textposition": "start", "textangle": -90, "xanchor": "left",
            "yanchor": "bottom" if left else "top", "padding": 1,
        },
    }  # fmt: skip
