"""Prints versions and keeps what was printed."""

import hashlib

from costadvisor.decisions.models import Recommendation
from costadvisor.reports.issue import issue_of, printed_from_sha256
from costadvisor.reports.models import Document
from costadvisor.reports.pdf import recommendation_pdf


def document_print(*, recommendation: Recommendation) -> Document:
    """The document of the version's present state: as it was first printed, or printed now. Raises PdfUnavailableError
    where this machine cannot print."""
    issue = issue_of(recommendation)
    printed_from = printed_from_sha256(recommendation, issue)
    kept = Document.objects.filter(recommendation=recommendation, printed_from_sha256=printed_from).first()
    if kept is not None:
        return kept
    content = recommendation_pdf(recommendation.evaluation, recommendation.case, issue=issue)
    # Of two that print at once, the first is kept for both.
    document, _ = Document.objects.get_or_create(
        recommendation=recommendation,
        printed_from_sha256=printed_from,
        defaults={"content": content, "sha256": hashlib.sha256(content).hexdigest()},
    )
    return document
