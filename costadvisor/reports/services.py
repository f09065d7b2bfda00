"""Prints versions and keeps what was printed."""

import hashlib

from costadvisor.common.refusal import Refusal
from costadvisor.decisions.models import Recommendation
from costadvisor.reports.issue import Issue, issue_of, printed_from_sha256
from costadvisor.reports.models import Document


def document_print(*, recommendation: Recommendation) -> Document:
    """The document of the version's present state: as it was first printed, or printed now. Raises Refusal where this
    machine cannot print."""
    issue = issue_of(recommendation)
    printed_from = printed_from_sha256(recommendation, issue)
    kept = Document.objects.filter(recommendation=recommendation, printed_from_sha256=printed_from).first()
    if kept is not None:
        return kept
    content = _printed(recommendation, issue)
    # Of two that print at once, the first is kept for both.
    document, _ = Document.objects.get_or_create(
        recommendation=recommendation,
        printed_from_sha256=printed_from,
        defaults={"content": content, "sha256": hashlib.sha256(content).hexdigest()},
    )
    return document


def _printed(recommendation: Recommendation, issue: Issue) -> bytes:
    # Laying out a page takes matplotlib and WeasyPrint, which a process that never prints should not carry.
    from costadvisor.reports.pdf import PdfUnavailableError, recommendation_pdf

    try:
        return recommendation_pdf(recommendation.evaluation, recommendation.case, issue=issue)
    except PdfUnavailableError as error:
        raise Refusal(f"No PDF: {error}.") from error
