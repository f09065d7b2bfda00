"""A recommendation on paper: tagged PDF/UA-1 with the case and its assumptions attached.

The same evaluation and case give the same bytes: no clock, no random id, shipped fonts. No address is fetched: charts
stand in the page as SVG, the style sheet is part of it, and only the shipped fonts have a name that is answered.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib import import_module

from django.template.loader import render_to_string

from costadvisor.charts.chart import Chart
from costadvisor.charts.svg import svg
from costadvisor.decisions.assumption_log import log_groups
from costadvisor.decisions.assumptions import assumptions, assumptions_csv
from costadvisor.decisions.charts import cost_chart, sensitivity_chart, week_chart
from costadvisor.decisions.content import content_of
from costadvisor.economics import Case, case_bytes
from costadvisor.economics.evaluation import Evaluation
from costadvisor.reports.fonts import SCHEME, ShippedFonts
from costadvisor.reports.issue import UNSIGNED, Issue

TEMPLATE = "reports/recommendation.html"


class PdfUnavailableError(RuntimeError):
    """The libraries that lay out a PDF are not on this machine."""


@dataclass(frozen=True)
class Drawn:
    svg: str
    sentence: str


def check_printing() -> None:
    """Raises PdfUnavailableError in one clear line where Pango, which WeasyPrint needs, is missing."""
    try:
        import_module("weasyprint")
    except OSError as error:
        raise PdfUnavailableError(
            f"a PDF needs Pango, which is missing here ({error}); install it (Debian: libpango-1.0-0 libpangoft2-1.0-0)"
        ) from None


def recommendation_pdf(evaluation: Evaluation, case: Case, *, issue: Issue | None = None) -> bytes:
    """The document of an evaluation and the resolved case it answers; `issue` is None on the command line.

    Raises PdfUnavailableError as `check_printing` does.
    """
    rows = assumptions(evaluation, case)
    context = {
        "content": content_of(evaluation, case),
        "charts": _charts(evaluation, case),
        "log": log_groups(rows, case),
        "issue": issue,
        "signatures": issue.signatures if issue else UNSIGNED,
    }
    page = render_to_string(TEMPLATE, context)
    attached = {"case.json": case_bytes(case).decode(), "assumptions.csv": assumptions_csv(rows)}
    return _pdf(page, attached, as_of=case.as_of)


def _charts(evaluation: Evaluation, case: Case) -> dict[str, Drawn | None]:
    return {
        "cost": _drawn(cost_chart(evaluation, case), height_mm=74),
        "week": _drawn(week_chart(evaluation, case), height_mm=54),
        "sensitivity": _drawn(sensitivity_chart(evaluation, case), height_mm=88),
    }


def _drawn(chart: Chart | None, *, height_mm: float) -> Drawn | None:
    return None if chart is None else Drawn(svg(chart, height_mm=height_mm), chart.sentence)


def _pdf(page: str, attached: Mapping[str, str], *, as_of: date) -> bytes:
    """Dates inside the file are the case's own day: a clock would make every copy different."""
    check_printing()
    from weasyprint import HTML, Attachment
    from weasyprint.urls import URLFetcher

    shipped = URLFetcher(allowed_protocols=(SCHEME,), fail_on_errors=True)
    shipped.add_handler(ShippedFonts())
    moment = datetime.combine(as_of, time(), UTC)
    files = [
        Attachment(string=text, name=name, created=moment, modified=moment, url_fetcher=shipped)
        for name, text in attached.items()
    ]
    document = HTML(string=page, url_fetcher=shipped)
    identifier = hashlib.sha256(page.encode()).digest()[:16]
    pdf: bytes = document.write_pdf(pdf_variant="pdf/ua-1", pdf_identifier=identifier, attachments=files)
    return pdf
