"""The charts of the demo's decision."""

from pathlib import Path

import numpy as np
import pytest

from costadvisor.charts.plotly_json import plotly_figure
from costadvisor.charts.svg import svg
from costadvisor.decisions.advise import Advice, advise
from costadvisor.decisions.charts import cost_chart, month_usd, sensitivity_chart, week_chart


@pytest.fixture(scope="module")
def demo() -> Advice:
    return advise(Path("fixtures/demo/case.json"))


def test_cost_against_volume_draws_what_the_evaluation_says_of_today(demo: Advice) -> None:
    chart = cost_chart(demo.evaluation, demo.case)
    assert chart is not None
    assert [series.name for series in chart.series] == [
        "gpt-4.1-mini at openai",
        "qwen3-8b at alibaba",
        "Qwen3-8B on H100",
        "Qwen3-8B on L40S",
    ]
    points = {row.id: row.usd_per_month.point for row in demo.evaluation.options if row.usd_per_month}
    for option in demo.case.options:
        assert month_usd(demo.case, option, np.ones(1)) == pytest.approx(float(points[option.id]))


def test_a_fleets_line_crosses_todays_where_the_break_even_lies(demo: Advice) -> None:
    chart = cost_chart(demo.evaluation, demo.case)
    assert chart is not None
    today, fleet = chart.series[0], chart.series[3]
    start = chart.spans[0].start
    cheaper = [x for x, api, own in zip(today.x, today.y, fleet.y, strict=True) if own < api]
    assert cheaper[0] == pytest.approx(start, rel=0.05)
    assert "Qwen3-8B on L40S: cheaper than gpt-4.1-mini at openai from $" in chart.sentence


def test_the_week_shows_demand_below_every_fleets_capacity(demo: Advice) -> None:
    chart = week_chart(demo.evaluation, demo.case)
    assert chart is not None
    demand, *fleets = chart.series
    assert len(fleets) == 2
    assert all(able >= asked for fleet in fleets for able, asked in zip(fleet.y, demand.y, strict=True))
    assert len(chart.table.rows) == 168


def test_the_tornado_is_widest_first_and_names_what_it_moves(demo: Advice) -> None:
    chart = sensitivity_chart(demo.evaluation, demo.case)
    assert chart is not None
    widths = [abs(row.at_high - row.at_low) for row in chart.rows]
    assert widths == sorted(widths, reverse=True)
    assert chart.sentence.startswith(f"What moves the difference most is {chart.rows[0].label}: from ")
    assert any(row.label == "API price change a year" and row.low_text.endswith(" %") for row in chart.rows)


def test_every_chart_can_be_drawn_for_a_page_and_for_print(demo: Advice) -> None:
    for chart in (
        cost_chart(demo.evaluation, demo.case),
        week_chart(demo.evaluation, demo.case),
        sensitivity_chart(demo.evaluation, demo.case),
    ):
        assert chart is not None
        assert plotly_figure(chart)["data"]
        assert svg(chart).startswith("<svg")
        assert all(len(row) == len(chart.table.columns) for row in chart.table.rows)
