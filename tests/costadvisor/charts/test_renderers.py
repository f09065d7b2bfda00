import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import plotly.graph_objects as go
import pytest

from costadvisor.charts.chart import (
    LOOKS,
    Axis,
    Chart,
    LineChart,
    RangeChart,
    Reach,
    ReferenceLine,
    Series,
    Span,
    Table,
    tick_text,
)
from costadvisor.charts.plotly_json import plotly_figure
from costadvisor.charts.svg import svg

TABLE = Table(("spend (USD)", "cost (USD)"), (("100", "90"),))
LINES = LineChart(
    id="cost",
    title="Cost against volume",
    sentence="Self-hosting is cheaper from $12,000 a month.",
    x=Axis("API spend (USD a month)", "usd", "log"),
    y=Axis("USD a month", "usd", "log", from_zero=False),
    series=(
        Series("API", (100.0, 1e4, 1e6), (100.0, 1e4, 1e6)),
        Series("GPUs", (100.0, 1e4, 1e6), (9e3, 9e3, 4e5), step=True),
    ),
    table=TABLE,
    lines=(ReferenceLine("x", 8_400, "today"), ReferenceLine("y", 9_000, "one replica")),
    spans=(Span(1.2e4, 1e6, "GPUs cheaper"),),
)
TORNADO = RangeChart(
    id="tornado",
    title="Sensitivity",
    sentence="The GPU's price moves the answer most.",
    x=Axis("difference (USD)", "usd"),
    rows=(Reach("GPU price", -3e4, 5e4, "$2.10", "$3.40"), Reach("people", 8e3, -1e3, "0.1", "0.5")),
    table=TABLE,
    lines=(ReferenceLine("x", 0, "equal"),),
)
WEEK = replace(LINES, id="week", x=Axis("hour", "hour", ticks=((0, "Mon"), (24, "Tue"))), lines=(), spans=())


@pytest.mark.parametrize("chart", [LINES, TORNADO, WEEK], ids=lambda chart: chart.id)
def test_print_is_the_same_every_time_and_is_an_image(chart: Chart) -> None:
    drawn = svg(chart)
    assert drawn == svg(chart)
    assert drawn.startswith("<svg")
    assert f"<title>{chart.sentence}</title>" in drawn
    assert drawn.endswith("</svg>\n")
    assert "<dc:date>" not in drawn


def test_dollar_signs_in_a_name_are_dollar_signs() -> None:
    named = replace(LINES, x=Axis(r"what $\bad$ costs", "usd"))
    assert svg(named).startswith("<svg")


@pytest.mark.parametrize("across", ["x", "y"])
def test_a_rule_far_from_the_data_stays_on_the_drawing(across: Literal["x", "y"]) -> None:
    """Off the drawing its label would leave the plot no room, which matplotlib warns of."""
    axis = Axis("USD", "usd", from_zero=True)
    far = ReferenceLine(across, 5e7, "target")
    drawn = svg(replace(LINES, x=axis, y=axis, lines=(far,), spans=()))
    assert {"<!-- target -->", "<!-- $48M -->"} <= set(re.findall("<!--.*?-->", drawn)), "its label and its tick"


@pytest.mark.parametrize("chart", [LINES, TORNADO, WEEK], ids=lambda chart: chart.id)
def test_pages_get_json_that_plotly_accepts(chart: Chart) -> None:
    figure = json.loads(json.dumps(plotly_figure(chart), allow_nan=False))
    go.Figure(figure)  # raises where a property or value is not plotly's


def test_a_page_draws_the_numbers_of_the_chart() -> None:
    api, gpus = plotly_figure(LINES)["data"]
    assert (api["name"], api["y"], gpus["line"]["shape"]) == ("API", [100.0, 1e4, 1e6], "hv")
    assert api["line"]["dash"] != gpus["line"]["dash"]
    _, low, high = plotly_figure(TORNADO)["data"]
    assert (low["x"], low["text"]) == ([-3e4, 8e3], ["$2.10", "0.1"])
    assert (high["x"], high["y"]) == ([5e4, -1e3], ["GPU price", "people"])
    assert low["marker"]["symbol"] != high["marker"]["symbol"]


def test_no_two_looks_differ_by_colour_alone_next_to_each_other() -> None:
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    for one, other in pairwise(LOOKS):
        assert one.dash != other.dash
    assert len({look.colour for look in LOOKS}) == len(LOOKS)
    assert len({(look.dash, round(grey(look.colour) / 40)) for look in LOOKS}) == len(LOOKS)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "usd", "$0"),
        (950, "usd", "$950"),
        (-40_000, "usd", "\u2212$40k"),
        (2_500_000, "usd", "$2.5M"),
        (1e9, "count", "1B"),
        (1500, "count", "1.5k"),
    ],
)
def test_ticks_are_short(value: float, unit: str, text: str) -> None:
    assert tick_text(value, "usd" if unit == "usd" else "count") == text
