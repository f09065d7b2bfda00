"""The pages of a version: what it says, its signatures, and the check that recomputes it."""

from typing import cast

from django.contrib import messages
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from costadvisor.accounts.models import Membership, Role, User
from costadvisor.common.refusal import Refusal
from costadvisor.decisions import selectors
from costadvisor.decisions.forms.sign_off import SignForm, WithdrawForm
from costadvisor.decisions.gates import enter_recommendation
from costadvisor.decisions.models import Recommendation
from costadvisor.decisions.page import answer_page
from costadvisor.decisions.services import recommendations as services
from costadvisor.decisions.stages import next_stage, sign_obstacle, signatures, withdraw_obstacle
from costadvisor.decisions.views.charts import chart_file


@require_GET
def detail(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    membership, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    return _page(request, membership, recommendation)


@require_GET
def chart(
    request: HttpRequest, organization_slug: str, decision_id: int, version: int, chart_id: str, form: str
) -> HttpResponse:
    _, recommendation = enter_recommendation(request, organization_slug, decision_id, version)
    return chart_file(selectors.recommendation_answer(recommendation=recommendation), chart_id, form)


@require_POST
def sign(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    membership, recommendation = enter_recommendation(request, organization_slug, decision_id, version, Role.EDITOR)
    form = SignForm(request.POST, user=membership.user)
    if form.is_valid():
        try:
            signed = services.recommendation_sign(
                recommendation=recommendation, membership=membership, now=timezone.now()
            )
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"Version {version} is {signed.get_state_display().lower()}.")
            return redirect("decisions:recommendation", organization_slug, decision_id, version)
    return _page(request, membership, recommendation, form)


@require_POST
def withdraw(request: HttpRequest, organization_slug: str, decision_id: int, version: int) -> HttpResponse:
    membership, recommendation = enter_recommendation(request, organization_slug, decision_id, version, Role.EDITOR)
    form = WithdrawForm(request.POST)
    if form.is_valid():
        try:
            services.recommendation_withdraw(
                recommendation=recommendation,
                membership=membership,
                because=form.cleaned_data["because"],
                now=timezone.now(),
            )
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"Version {version} is withdrawn.")
            return redirect("decisions:recommendation", organization_slug, decision_id, version)
    return _page(request, membership, recommendation, form)


@require_GET
def verify(request: HttpRequest, case_sha256: str) -> HttpResponse:
    """Computes the stored case anew, for members of the organization that holds it."""
    user = cast(User, request.user)  # LoginRequiredMiddleware let nobody else in
    found = selectors.recommendation_list_by_case(user=user, case_sha256=case_sha256)
    if not found:
        raise Http404
    checked = [selectors.recommendation_verify(recommendation=recommendation) for recommendation in found]
    return render(request, "decisions/verify.html", {"case_sha256": case_sha256, "checked": checked})


def _page(
    request: HttpRequest, membership: Membership, recommendation: Recommendation, refused: Form | None = None
) -> HttpResponse:
    """`refused` is the form that was not accepted; its errors stand on top."""
    context = {
        "membership": membership,
        "recommendation": recommendation,
        "decision": recommendation.decision,
        "page": answer_page(selectors.recommendation_answer(recommendation=recommendation)),
        "signatures": signatures(recommendation),
        "stage": next_stage(recommendation),
        "sign_obstacle": sign_obstacle(recommendation, membership),
        "can_withdraw": not withdraw_obstacle(recommendation, membership),
        "sign_form": refused if isinstance(refused, SignForm) else SignForm(user=membership.user),
        "withdraw_form": refused if isinstance(refused, WithdrawForm) else WithdrawForm(),
        "form": refused,
        "chart_address": "charts/",
    }
    return render(request, "decisions/recommendation.html", context)
