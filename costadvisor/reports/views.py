"""Downloads of a version: PDF, JSON, CSV."""

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from costadvisor.common.refusal import Refusal
from costadvisor.decisions.assumptions import assumptions, assumptions_csv
from costadvisor.decisions.downloads import options_csv
from costadvisor.decisions.gates import enter_recommendation
from costadvisor.decisions.models import Recommendation
from costadvisor.decisions.stages import signatures
from costadvisor.reports.services import document_print


@require_GET
def pdf(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    _, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    try:
        document = document_print(recommendation=recommendation)
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect("decisions:recommendation", organization_slug, decision_id, version)
    response = _file(recommendation, bytes(document.content), "application/pdf", "pdf")
    response["ETag"] = f'"{document.sha256}"'
    return response


@require_GET
def as_json(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    """The frozen case and answer as they are stored, with the signatures."""
    _, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    content = {
        "schema": "costadvisor.recommendation/1",
        "name": recommendation.decision.name,
        "version": recommendation.version,
        "state": recommendation.state,
        "issued_at": recommendation.created_at.isoformat(),
        "sign_offs": [
            {"step": step, "name": signed.signer_name, "email": signed.signer_email, "at": signed.signed_at.isoformat()}
            for step, signed in signatures(recommendation)
            if signed is not None
        ],
        "case": json.loads(recommendation.case_json),
        "evaluation": json.loads(recommendation.evaluation_json),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return _file(recommendation, text.encode(), "application/json", "json")


@require_GET
def options(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    _, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    text = options_csv(recommendation.evaluation, recommendation.case)
    return _file(recommendation, text.encode(), "text/csv; charset=utf-8", "csv", "options")


@require_GET
def assumption_log(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    _, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    text = assumptions_csv(assumptions(recommendation.evaluation, recommendation.case))
    return _file(recommendation, text.encode(), "text/csv; charset=utf-8", "csv", "assumptions")


def _file(
    recommendation: Recommendation, content: bytes, content_type: str, extension: str, part: str = ""
) -> HttpResponse:
    """Never shown inside a page of ours: it is saved."""
    stem = slugify(f"{recommendation.decision.name} version {recommendation.version} {part}")
    name = f'attachment; filename="{stem}.{extension}"'
    return HttpResponse(content, content_type=content_type, headers={"Content-Disposition": name})
