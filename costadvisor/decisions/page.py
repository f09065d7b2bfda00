"""An answer as its page shows it: the words it shares with the paper, its charts, and rows of its own. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costadvisor.charts.chart import Chart
from costadvisor.charts.plotly_json import plotly_figure
from costadvisor.decisions.answers import Answer
from costadvisor.decisions.assumption_log import LoggedAssumption, logged
from costadvisor.decisions.assumptions import assumptions
from costadvisor.decisions.charts import cost_chart, sensitivity_chart, week_chart
from costadvisor.decisions.content import Content, OptionRow, content_of
from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import Evaluation, OptionResult
from costadvisor.economics.names import names_by_id
from costadvisor.economics.options import ApiOption

# What an option's cost rests on most, by the end of its pointer.
_GRADED = {"prices": "price", "hardware/usd_per_hour": "rent", "capacity": "capacity"}


@dataclass(frozen=True)
class OptionLine:
    id: str
    row: OptionRow
    baseline: bool
    best: bool
    payback: str
    grades: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DrawnChart:
    chart: Chart
    figure: Mapping[str, Any]


@dataclass(frozen=True)
class AnswerPage:
    """`assumptions` are those with a range, which move the answer; `constants` the rest."""

    content: Content
    reconciliation: str
    options: tuple[OptionLine, ...]
    charts: tuple[DrawnChart, ...]
    assumptions: tuple[LoggedAssumption, ...]
    constants: tuple[LoggedAssumption, ...]

    @property
    def chart(self) -> dict[str, DrawnChart]:
        return {drawn.chart.id: drawn for drawn in self.charts}


def answer_page(answer: Answer) -> AnswerPage:
    case, evaluation = answer.case, answer.evaluation
    content = content_of(evaluation, case)
    baseline = next(option.id for option in case.options if option.baseline)
    names = names_by_id(case)
    log = [logged(row, names) for row in assumptions(evaluation, case)]
    return AnswerPage(
        content=content,
        reconciliation=_reconciliation(case),
        options=tuple(
            OptionLine(
                id=result.id,
                row=row,
                baseline=result.id == baseline,
                best=result.id == evaluation.verdict.option,
                payback="" if result.id == baseline else _payback(result),
                grades=_grades(evaluation, result.id),
            )
            for row, result in zip(content.options, evaluation.options, strict=True)
        ),
        charts=tuple(DrawnChart(chart, plotly_figure(chart)) for chart in charts_of(answer).values()),
        assumptions=tuple(row for row in log if row.low),
        constants=tuple(row for row in log if not row.low),
    )


def charts_of(answer: Answer) -> dict[str, Chart]:
    """By id; one that has nothing to show is left out."""
    drawn = (
        cost_chart(answer.evaluation, answer.case),
        week_chart(answer.evaluation, answer.case),
        sensitivity_chart(answer.evaluation, answer.case),
    )
    return {chart.id: chart for chart in drawn if chart is not None}


def _reconciliation(case: Case) -> str:
    """What today's price is held against; k is always shown."""
    today = next(option for option in case.options if option.baseline)
    if not isinstance(today, ApiOption):
        return ""
    said = case.evidence.get(f"/options/{today.id}/reconciliation_factor")
    k = f"Today's API is priced at list times k = {float(today.reconciliation_factor):.4g}"
    return f"{k} ({said.basis}: {said.source})." if said else f"{k}: nothing billed could be held against it."


def _payback(result: OptionResult) -> str:
    if result.npv_usd is None:
        return ""
    month = result.payback_months
    return "never pays back" if month is None else f"pays back in month {month}"


def _grades(evaluation: Evaluation, option_id: str) -> tuple[tuple[str, str], ...]:
    """What each main figure of an option is worth as evidence: (`capacity`, `B`)."""
    found = {row.field: row.grade for row in evaluation.evidence}
    path = f"/options/{option_id}"
    return tuple((word, found[f"{path}/{end}"]) for end, word in _GRADED.items() if f"{path}/{end}" in found)
