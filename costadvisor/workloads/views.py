"""The workload pages."""

from collections.abc import Callable

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.common.refusal import Refusal
from costadvisor.spend.selectors import usage_months
from costadvisor.workloads import selectors, services
from costadvisor.workloads.forms import FromSpendForm, FromTraceForm, TraceForm, WorkloadForm
from costadvisor.workloads.gates import enter_workload
from costadvisor.workloads.models import Workload
from costadvisor.workloads.page import DAYS, figure_rows, heat_map
from costadvisor.workloads.profile import Profile


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    workloads = selectors.workload_list(organization=membership.organization)
    return render(request, "workloads/index.html", {"membership": membership, "workloads": workloads})


@require_GET
def detail(request: HttpRequest, organization_slug: str, workload_id: int) -> HttpResponse:
    membership, workload = enter_workload(request, organization_slug, workload_id)
    profile = workload.profile
    context = {
        "membership": membership,
        "workload": workload,
        "rows": list(figure_rows(profile)),
        "lengths": workload.length_distribution,
        "week": heat_map(profile.hourly_shape.value),
        "days": DAYS,
    }
    return render(request, "workloads/detail.html", context)


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = WorkloadForm(request.POST or None)

    def save() -> Workload:
        return services.workload_create(
            organization=membership.organization,
            actor=membership.user,
            name=form.cleaned_data["name"],
            profile=Profile.of(form.figures(_entered(membership))),
        )

    return _answer(request, membership, form, save, "workloads/form.html")


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, organization_slug: str, workload_id: int) -> HttpResponse:
    membership, workload = enter_workload(request, organization_slug, workload_id, Role.EDITOR)
    form = WorkloadForm(request.POST or None, profile=workload.profile, name=workload.name)

    def save() -> Workload:
        return services.workload_update(
            workload=workload,
            actor=membership.user,
            name=form.cleaned_data["name"],
            figures=form.figures(_entered(membership)),
        )

    return _answer(request, membership, form, save, "workloads/form.html", workload=workload)


@require_http_methods(["GET", "POST"])
def from_spend(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    usage = usage_months(organization=membership.organization)
    lines = sorted({(row.provider, row.model) for row in usage if row.has_tokens})
    form = FromSpendForm(request.POST or None, lines=lines)

    def save() -> Workload:
        provider, model = form.provider_and_model
        return services.workload_derive_from_spend(
            organization=membership.organization,
            actor=membership.user,
            name=form.cleaned_data["name"],
            provider=provider,
            model=model,
        )

    return _answer(request, membership, form, save, "workloads/from_spend.html")


@require_http_methods(["GET", "POST"])
def from_trace(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = FromTraceForm(request.POST or None, request.FILES or None)

    def save() -> Workload:
        file = form.cleaned_data["trace"]
        return services.workload_derive_from_trace(
            organization=membership.organization,
            actor=membership.user,
            name=form.cleaned_data["name"],
            file_name=file.name,
            content=file.read(),
            requests_per_month=form.cleaned_data["requests_per_month"],
        )

    return _answer(request, membership, form, save, "workloads/from_trace.html")


@require_http_methods(["GET", "POST"])
def apply_trace(request: HttpRequest, organization_slug: str, workload_id: int) -> HttpResponse:
    membership, workload = enter_workload(request, organization_slug, workload_id, Role.EDITOR)
    form = TraceForm(request.POST or None, request.FILES or None)

    def save() -> Workload:
        file = form.cleaned_data["trace"]
        return services.workload_apply_trace(
            workload=workload, actor=membership.user, file_name=file.name, content=file.read()
        )

    return _answer(request, membership, form, save, "workloads/from_trace.html", workload=workload)


def _answer(
    request: HttpRequest,
    membership: Membership,
    form: Form,
    save: Callable[[], Workload],
    template: str,
    workload: Workload | None = None,
) -> HttpResponse:
    """Saves a valid form and goes to the workload; otherwise shows the form, with what was wrong."""
    if form.is_valid():
        try:
            saved = save()
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, f"“{saved.name}” is saved.")
            return redirect("workloads:detail", membership.organization.slug, saved.pk)
    return render(request, template, {"membership": membership, "form": form, "workload": workload})


def _entered(membership: Membership) -> str:
    return f"entered by {membership.user.email}"
