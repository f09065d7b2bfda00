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
    labels = [bar.label for bar in chart.bars]
    sides = (
        ("input at its low", [bar.at_low for bar in chart.bars], [bar.low_text for bar in chart.bars], ""),
        (
            "input at its high",
            [bar.at_high for bar in chart.bars],
            [bar.high_text for bar in chart.bars],
            "/",
        ),
    )
    traces = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": labels,
            "base": chart.middle, "x": [value - chart.middle for value in values],
            "text": texts, "textposition": "outside", "cliponaxis": False, "hovertext": texts,
            "marker": {"color": look_of(side + 1).colour, "pattern": {"shape": pattern}},
        }
        for side, (name, values, texts, pattern) in enumerate(sides)
    ]  # fmt: skip
    shapes = [
        _rule(ReferenceLine("x", chart.middle, chart.middle_label)),
        *(_rule(line) for line in chart.lines),
    ]
    layout = _layout(_axis(chart.x), {"autorange": "reversed", "automargin": True}, shapes)
    return {"data": traces, "layout": layout | {"barmode": "overlay"}}


def _layout(x: Json, y: Json, shapes: list[Json]) -> Json:
    return {
        "xaxis": x,
        "yaxis": y,
        "shapes": shapes,
        "legend": {"orientation": "h", "y": -0.25},
        "margin": {"l": 72, "r": 24, "t": 24, "b": 64},
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
        drawn |= {"tickprefix": "$", "tickformat": "~s"}
    return drawn


def _rule(line: ReferenceLine) -> Json:
    along, other = ("x", "y") if line.across == "x" else ("y", "x")
    return {
        "type": "line", f"{along}ref": along, f"{other}ref": "paper",
        f"{along}0": line.value, f"{along}1": line.value, f"{other}0": 0, f"{other}1": 1,
        "line": {"color": GREY, "width": 1.5, "dash": "dot"},
        "label": {"text": line.label, "textposition": "end", "textangle": 0},
    }  # fmt: skip
