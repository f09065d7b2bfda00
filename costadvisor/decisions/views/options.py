"""The options of a decision: adding one (a kind first, then its fields), correcting one, and taking one out."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.models import Membership, Role
from costadvisor.calibration.selectors import record_list
from costadvisor.common.refusal import Refusal
from costadvisor.decisions import selectors
from costadvisor.decisions.forms.kinds import KINDS, OPTION_FORMS, form_of
from costadvisor.decisions.forms.options import OptionForm
from costadvisor.decisions.forms.propose import ProposeForm
from costadvisor.decisions.gates import enter_decision
from costadvisor.decisions.models import Decision
from costadvisor.decisions.services import decisions as services
from costadvisor.decisions.written import WrittenOption


@require_GET
def kinds(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    groups = [
        (legend, [(kind, form.title, form.intro, form.missing(decision.case)) for kind, form in found.items()])
        for legend, found in KINDS.items()
    ]
    context = {"membership": membership, "decision": decision, "groups": groups}
    return render(request, "decisions/option_kinds.html", context)


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, organization_slug: str, decision_id: int, kind: str) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    if kind not in OPTION_FORMS:
        raise Http404
    form = OPTION_FORMS[kind](request.POST or None, **_about(membership, decision))
    store = partial(services.decision_option_add, decision=decision, actor=membership.user)
    return _answer(request, membership, decision, form, store, "added")


@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, organization_slug: str, decision_id: int, option_id: str) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    option = next((known for known in decision.case["options"] if known["id"] == option_id), None)
    if option is None:
        raise Http404
    form = form_of(option)(request.POST or None, **_about(membership, decision), option=option)
    store = partial(services.decision_option_change, decision=decision, actor=membership.user, option_id=option_id)
    return _answer(request, membership, decision, form, store, "changed")


@require_http_methods(["GET", "POST"])
def propose(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    """What is worth comparing, ranked; what is ticked is added in one go."""
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    found = selectors.suggestion_list(decision=decision)
    form = ProposeForm(request.POST if request.method == "POST" else None, suggestions=found)
    if form.is_valid():
        try:
            services.decision_suggestions_add(decision=decision, actor=membership.user, chosen=form.chosen)
        except Refusal as refusal:
            form.show(refusal)
        else:
            messages.success(request, "The options are added.")
            return redirect("decisions:detail", organization_slug, decision_id)
    context = {"membership": membership, "decision": decision, "form": form}
    return render(request, "decisions/option_propose.html", context)


def _about(membership: Membership, decision: Decision) -> dict[str, Any]:
    records = [stored.content for stored in record_list(organization=membership.organization)]
    return {"case": decision.case, "records": records}


def _answer(
    request: HttpRequest, membership: Membership, decision: Decision, form: OptionForm, store: Any, done: str
) -> HttpResponse:
    """The form, or the decision's page once the option is stored."""
    if form.is_valid():
        try:
            written: WrittenOption = form.written(f"entered by {membership.user.email}")
            store(written=written)
        except Refusal as refusal:
            form.show(refusal)
        else:
            messages.success(request, f"The option is {done}.")
            return redirect("decisions:detail", membership.organization.slug, decision.pk)
    lacking = form.missing(decision.case)
    context = {"membership": membership, "decision": decision, "form": form, "lacking": lacking}
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
