"""Adding an option to a decision, and taking one out."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from costadvisor.accounts.models import Role
from costadvisor.calibration.selectors import record_list
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.forms.options import OPTION_FORMS
from costadvisor.decisions.gates import enter_decision
from costadvisor.decisions.services import decisions as services


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, organization_slug: str, decision_id: int, kind: str) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    if kind not in OPTION_FORMS:
        raise Http404
    form = OPTION_FORMS[kind](
        request.POST or None,
        gate=decision.case["constraints"]["min_quality"],
        records=[stored.content for stored in record_list(organization=membership.organization)],
    )
    if form.is_valid():
        try:
            written = form.written(f"entered by {membership.user.email}")
            services.decision_option_add(decision=decision, actor=membership.user, written=written)
        except Refusal as refusal:
            form.show(refusal)
        else:
            messages.success(request, "The option is added.")
            return redirect("decisions:detail", organization_slug, decision_id)
    context = {"membership": membership, "decision": decision, "form": form}
    return render(request, "decisions/option.html", context)


@require_POST
def remove(request: HttpRequest, organization_slug: str, decision_id: int, option_id: str) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    try:
        services.decision_option_remove(decision=decision, actor=membership.user, option_id=option_id)
        messages.success(request, f"The option {option_id} is removed.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("decisions:detail", organization_slug, decision_id)
