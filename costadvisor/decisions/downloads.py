"""Charts and options as files: exact numbers, for whoever computes further. Pure."""

from costadvisor.charts.chart import Chart, RangeChart
from costadvisor.common.spreadsheet import csv_text
from costadvisor.economics import Case, Evaluation
from costadvisor.economics.evaluation import OptionResult
from costadvisor.economics.names import kind_name, names_by_id

SPREADS = ("usd_per_month", "tco_usd", "tco_undiscounted_usd", "npv_usd")
POINTS = ("point", "p10", "p50", "p90")
RATES = ("payback_months", "usd_per_mtok", "usd_per_request", "utilization", "gpu_hours_per_month", "p_cheapest")


def chart_csv(chart: Chart) -> str:
    """One row a point, or one a row of a tornado."""
    if isinstance(chart, RangeChart):
        rows = [(row.label, row.low_text, row.high_text, row.at_low, row.at_high) for row in chart.rows]
        return csv_text(("input", "low", "high", f"{chart.x.title}, at low", f"{chart.x.title}, at high"), rows)
    points = [(line.name, x, y) for line in chart.series for x, y in zip(line.x, line.y, strict=True)]
    return csv_text(("series", chart.x.title, chart.y.title), points)


def options_csv(evaluation: Evaluation, case: Case) -> str:
    """One row an option, with amounts as the evaluation writes them."""
    names, options = names_by_id(case), {option.id: option for option in case.options}
    columns = ("id", "name", "kind", "allowed", "refusals", *(f"{s}_{p}" for s in SPREADS for p in POINTS), *RATES)
    return csv_text(
        columns,
        (
            (row.id, names[row.id], kind_name(options[row.id]), row.allowed, _refusals(row), *_figures(row))
            for row in evaluation.options
        ),
    )


def _refusals(row: OptionResult) -> str:
    return " ".join(refusal.message for refusal in row.refusals)


def _figures(row: OptionResult) -> list[object]:
    written = row.model_dump(mode="json")
    spreads = [(written[spread] or {}).get(point) for spread in SPREADS for point in POINTS]
    return [*spreads, *(written[rate] for rate in RATES)]
