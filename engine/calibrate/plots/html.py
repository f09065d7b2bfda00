"""All charts of a record as one HTML file that needs nothing else: plotly.js is inside, from the installed package."""

import html
import json
from collections.abc import Sequence
from typing import Any

from plotly.offline import get_plotlyjs

from engine.calibrate.plots.chart import Axis, Chart, Series

COLOURS = ("#0072b2", "#d55e00")  # of Okabe and Ito, told apart by colour-blind readers too
SHADES = ("rgba(0, 114, 178, 0.18)", "rgba(213, 94, 0, 0.18)")
SYMBOLS = ("circle", "diamond")
RULE = "#a3123a"
STYLE = """
  :root { color-scheme: light; }
  body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
         margin: 0 auto; max-width: 56rem; padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
  h2 { font-size: 1.15rem; margin: 0 0 .25rem; }
  section { margin-top: 2.5rem; }
  p { margin: .25rem 0 .75rem; max-width: 46rem; }
  .facts { color: #555; overflow-wrap: anywhere; }
  .plot { height: 22rem; }
  .table { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
  caption { text-align: left; color: #555; padding-bottom: .25rem; }
  th, td { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
  th { font-weight: 600; vertical-align: bottom; white-space: normal; }
  .words { text-align: left; }
  @media (max-width: 30rem) { body { padding: 1rem .75rem 2rem; } .plot { height: 18rem; margin: 0 -.25rem; } }
  @media print { section { break-inside: avoid; } }
"""


def page(heading: str, facts: Sequence[str], charts: Sequence[Chart]) -> str:
    """The whole document; every chart with its sentence above and its numbers below."""
    figures = {chart.id: figure(chart) for chart in charts}
    data = json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = html.escape(heading)
    sections = "\n".join(map(_section, charts))
    lines = "".join(f'<p class="facts">{html.escape(line)}</p>\n' for line in facts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<h1>{title}</h1>\n{lines}"
        f"{sections}\n<script>\nconst figures = {data};\n"
        "for (const [id, one] of Object.entries(figures))\n"
        "  Plotly.newPlot(id, one.data, one.layout, {responsive: true, displayModeBar: false});\n"
        "</script>\n</body>\n</html>\n"
    )


def _section(chart: Chart) -> str:
    title, sentence = html.escape(chart.title), html.escape(chart.sentence)
    return (
        f'<section>\n<h2>{title}</h2>\n<p>{sentence}</p>\n<div class="plot" id="{chart.id}" role="img" '
        f'aria-label="{title}. The numbers are in the table below."></div>\n{_table(chart)}\n</section>'
    )


def _table(chart: Chart) -> str:
    kinds = [' class="words"' if chart.table.wordy(place) else "" for place in range(len(chart.table.columns))]
    head = "".join(f'<th scope="col"{k}>{html.escape(n)}</th>' for n, k in zip(chart.table.columns, kinds, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(f"<td{k}>{html.escape(text)}</td>" for text, k in zip(row, kinds, strict=True)) + "</tr>"
        for row in chart.table.rows
    )
    caption = html.escape(f"The numbers: {chart.title.lower()}")
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{caption}"><table>\n<caption>{caption}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def figure(chart: Chart) -> dict[str, Any]:
    """What plotly.js draws."""
    traces = [trace for number, series in enumerate(chart.series) for trace in _traces(chart, series, number % 2)]
    return {"data": traces, "layout": _layout(chart)}


def _traces(chart: Chart, series: Series, look: int) -> list[dict[str, Any]]:
    trace: dict[str, Any] = {"type": "scatter", "name": series.name, "x": series.x, "y": series.y}
    if series.kind == "line":
        trace |= {"mode": "lines", "line": {"color": COLOURS[look], "width": 2.5}, "hoverinfo": "x+y"}
    else:
        size = {"color": COLOURS[look], "symbol": SYMBOLS[look], "size": 9 if series.labels else 4}
        trace |= {"mode": "markers", "marker": size, "hoverinfo": "x+y+text"}
    if series.labels:
        places = [f"middle {'left' if _to_the_right(chart, x) else 'right'}" for x in series.x]
        texts = [f" {label} " for label in series.labels]
        trace |= {"mode": "markers+text", "text": texts, "textposition": places, "cliponaxis": False}
    if not series.labels and series.kind == "marks":
        trace["marker"]["opacity"] = 0.35
    if not series.low:
        return [trace]
    edge = {"type": "scatter", "mode": "lines", "x": series.x, "line": {"width": 0}, "hoverinfo": "skip"}
    band = {"name": "95 % interval of the mean", "fill": "tonexty", "fillcolor": SHADES[look]}
    return [edge | {"y": series.low, "showlegend": False}, edge | band | {"y": series.high}, trace]


def _layout(chart: Chart) -> dict[str, Any]:
    shapes, notes = [], []
    if chart.span:
        ends = {"x0": chart.span.start, "x1": chart.span.end, "y0": 0, "y1": 1}
        shapes.append(
            {"type": "rect", "yref": "paper", "layer": "below", "fillcolor": "#eeeeee", "line": {"width": 0}, **ends}
        )
    for rule in chart.rules:
        across, other = ("x", "y") if rule.axis == "x" else ("y", "x")
        ends = {f"{across}0": rule.value, f"{across}1": rule.value, f"{other}0": 0, f"{other}1": 1}
        line = {"color": RULE, "width": 1.5, "dash": "dash"}
        shapes.append({"type": "line", f"{other}ref": "paper", "line": line, **ends})
        notes.append(_note(chart, across, rule.value, rule.label))
    return {
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y),
        "shapes": shapes,
        "annotations": notes,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 56, "r": 16, "t": 32, "b": 48},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "font": {"color": "#1a1a1a", "size": 13},
    }


def _note(chart: Chart, across: str, value: float, label: str) -> dict[str, Any]:
    """A rule's name: along a level one at its left, at the head of an upright one, on the side with more room."""
    note = {"text": label, "showarrow": False, "font": {"color": RULE, "size": 12}, "bgcolor": "rgba(255,255,255,0.8)"}
    if across == "y":
        return note | {"y": value, "xref": "paper", "x": 0.01, "xanchor": "left", "yanchor": "bottom"}
    left = {"xanchor": "right", "xshift": -4}
    side = left if _to_the_right(chart, value) else {"xanchor": "left", "xshift": 4}
    return note | {"x": value, "yref": "paper", "y": 1.0, "yanchor": "top", **side}


def _to_the_right(chart: Chart, x: float) -> bool:
    """So far that what is written beside it belongs to its left."""
    return (x - chart.x.start) / (chart.x.end - chart.x.start) > 0.6


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = axis.ticks()
    return {
        "title": {"text": axis.title, "standoff": 8},
        "range": [axis.start, axis.end],
        "tickvals": [value for value, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "gridcolor": "#e8e8e8",
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
    }
