"""A chart as a file: SVG for eyes and print, CSV for numbers."""

from django.http import Http404, HttpResponse

from costadvisor.charts.chart import Chart
from costadvisor.decisions.answers import Answer
from costadvisor.decisions.downloads import chart_csv
from costadvisor.decisions.page import charts_of


def chart_file(answer: Answer, chart_id: str, form: str) -> HttpResponse:
    """`form` is svg or csv."""
    chart = charts_of(answer).get(chart_id)
    if chart is None:
        raise Http404
    return _svg(chart) if form == "svg" else _csv(chart)


def _svg(chart: Chart) -> HttpResponse:
    from costadvisor.charts.svg import svg  # matplotlib is heavy: only whoever asks for a picture pays for it

    # A page's <img> draws it; opened as a page of its own our CSP would refuse its styles, so that is a file to save.
    return HttpResponse(svg(chart), content_type="image/svg+xml", headers=_saved_as(f"{chart.id}.svg"))


def _csv(chart: Chart) -> HttpResponse:
    return HttpResponse(chart_csv(chart), content_type="text/csv; charset=utf-8", headers=_saved_as(f"{chart.id}.csv"))


def _saved_as(file_name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{file_name}"'}
