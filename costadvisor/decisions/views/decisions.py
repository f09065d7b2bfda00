"""The pages of decisions: the list, a new one, and one with its what-ifs."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.common.refusal import Refusal
from costadvisor.decisions import selectors
from costadvisor.decisions.answers import Answer
from costadvisor.decisions.forms.start import CompareForm, StartForm
from costadvisor.decisions.forms.what_if import WhatIfForm
from costadvisor.decisions.gates import enter_decision
from costadvisor.decisions.models import Decision
from costadvisor.decisions.page import answer_page
from costadvisor.decisions.services import decisions as services
from costadvisor.decisions.services.recommendations import recommendation_issue
from costadvisor.decisions.views.charts import chart_file
from costadvisor.economics import CaseError
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_list


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    decisions = selectors.decision_list(organization=membership.organization)
    return render(request, "decisions/index.html", {"membership": membership, "decisions": decisions})


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """First what it is about, in the address; then, below it, the options to compare."""
    membership = enter(request, organization_slug, Role.EDITOR)
    workloads = list(workload_list(organization=membership.organization))
    billed = selectors.billed_model_list(organization=membership.organization)
    sent = request.GET if "today" in request.GET else None  # an address with a workload alone picks that one
    start = StartForm(sent, workloads=workloads, billed=billed, about=request.GET.get("workload"))
    context: dict[str, Any] = {"membership": membership, "workloads": workloads, "start": start}
    draft = _draft(start, membership)
    if draft is not None:
        form = CompareForm(request.POST or None, draft=draft, name=start.workload.name)
        decision = _created(form, start.workload, membership)
        if decision is not None:
            messages.success(request, f"“{decision.name}” is saved.")
            return redirect("decisions:detail", organization_slug, decision.pk)
        context |= {"form": form, "draft": draft}
    return render(request, "decisions/create.html", context)


def _draft(start: StartForm, membership: Membership) -> selectors.Draft | None:
    """None while the first form is not sent, or was refused, which it then says."""
    if not start.is_valid():
        return None
    try:
        return selectors.decision_draft(
            workload=start.workload,
            api=start.provider_and_model,
            prices=start.prices,
            as_of=timezone.localdate(),
            source=_entered(membership),
        )
    except Refusal as refusal:
        start.show(refusal)
        return None


def _created(form: CompareForm, workload: Workload, membership: Membership) -> Decision | None:
    """None while the second form is not sent, or was refused, which it then says."""
    if not form.is_valid():
        return None
    try:
        return services.decision_create(
            organization=membership.organization,
            actor=membership.user,
            name=form.cleaned_data["name"],
            workload=workload,
            as_of=form.draft.as_of,
            today=form.today,
            options=form.chosen,
        )
    except Refusal as refusal:
        form.show(refusal)
        return None


@require_GET
def detail(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    """The answer at the saved values, or at those of the address."""
    membership, decision = enter_decision(request, organization_slug, decision_id)
    form, answer = _answered(request, membership, decision)
    query = "" if answer is None else form.query
    address = request.get_full_path() if answer is None else request.path + (f"?{query}" if query else "")
    if request.get_full_path() != address and not _partial(request):
        return redirect(address)  # what the saved values say anyway is left out of the address
    context = {
        "membership": membership,
        "decision": decision,
        "form": form,
        "page": None if answer is None else answer_page(answer),
        "removable": decision if membership.can_edit and not query else None,
        "chart_address": f"{request.path}charts/",
        "query": query,
    }
    response = render(request, "decisions/detail.html", context)
    if _partial(request):
        response["HX-Push-Url"] = address
    return response


@require_GET
def chart(request: HttpRequest, organization_slug: str, decision_id: int, chart_id: str, form: str) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id)
    _, answer = _answered(request, membership, decision)
    if answer is None:
        raise Http404
    return chart_file(answer, chart_id, form)


@require_POST
def save(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    """Keeps the values of the address."""
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    form, answer = _answered(request, membership, decision)
    if answer is None:
        return redirect(_detail(decision, request.GET.urlencode()))
    try:
        services.decision_save_case(
            decision=decision,
            actor=membership.user,
            change=partial(form.case, source=_entered(membership)),
            changed=form.changed_data,
        )
        messages.success(request, "The new values are saved.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect(_detail(decision))


@require_POST
def issue(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    membership, decision = enter_decision(request, organization_slug, decision_id, Role.EDITOR)
    try:
        issued = recommendation_issue(decision=decision, actor=membership.user, now=timezone.now())
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect(_detail(decision))
    return redirect("decisions:recommendation", organization_slug, decision.pk, issued.version)


def _answered(request: HttpRequest, membership: Membership, decision: Decision) -> tuple[WhatIfForm, Answer | None]:
    """The form with what the address changes, and its answer; None where that is refused, which the form then says."""
    form = WhatIfForm(request.GET, case=selectors.decision_case(decision=decision))
    if not form.is_valid():
        return form, None
    try:
        case = form.case(decision.case, source=_entered(membership))
        return form, selectors.decision_evaluate(decision=decision, case=case)
    except CaseError as error:
        form.show(error)
        return form, None


def _partial(request: HttpRequest) -> bool:
    """Asked by htmx, which follows no redirect to an address it could show."""
    return "HX-Request" in request.headers


def _detail(decision: Decision, query: str = "") -> str:
    address = reverse("decisions:detail", args=[decision.organization.slug, decision.pk])
    return f"{address}?{query}" if query else address


def _entered(membership: Membership) -> str:
    return f"entered by {membership.user.email}"
