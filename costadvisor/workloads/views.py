"""The workload pages."""

from collections.abc import Callable

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.common.refusal import Refusal
from costadvisor.workloads import selectors, services
from costadvisor.workloads.forms.derived import (
    SPLIT_NAMES,
    FromSeriesForm,
    FromSpendForm,
    FromTraceForm,
    MergeForm,
    TraceForm,
    split_wanted,
)
from costadvisor.workloads.forms.described import WorkloadForm
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
    """`?by=project` and `?by=key` split the bill more finely than by model."""
    membership = enter(request, organization_slug, Role.EDITOR)
    organization, by = membership.organization, split_wanted(request.GET.get("by", ""))
    form = FromSpendForm(request.POST or None, parts=selectors.parts_of_bill(organization=organization, by=by))
    if form.is_valid():
        try:
            saved = services.workloads_derive(
                organization=organization,
                actor=membership.user,
                name=form.cleaned_data["name"],
                parts=form.chosen,
                together=form.is_together,
            )
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            return _saved(request, membership, saved)
    splits = [(key, name, key == by) for key, name in SPLIT_NAMES.items()]
    return render(request, "workloads/from_spend.html", {"membership": membership, "form": form, "splits": splits})


@require_http_methods(["GET", "POST"])
def from_series(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = FromSeriesForm(request.POST or None, request.FILES or None)

    def save() -> Workload:
        data = form.cleaned_data
        files = [None if file is None else (file.name, file.read()) for file in (data["rates"], data["lengths"])]
        return services.workload_derive_from_series(
            organization=membership.organization,
            actor=membership.user,
            name=data["name"],
            rates=files[0] or ("", b""),
            lengths=files[1],
            began_at=form.moment,
            typed=form.typed(_entered(membership)),
        )

    return _answer(request, membership, form, save, "workloads/from_series.html")


@require_http_methods(["GET", "POST"])
def merge(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    organization = membership.organization
    listed = [(workload.pk, workload.name) for workload in selectors.workload_list(organization=organization)]
    form = MergeForm(request.POST or None, workloads=listed)

    def save() -> Workload:
        return services.workloads_merge(
            organization=organization,
            actor=membership.user,
            name=form.cleaned_data["name"],
            workloads=selectors.workloads_of(organization=organization, ids=form.ids),
            remove=form.cleaned_data["remove"],
        )

    return _answer(request, membership, form, save, "workloads/merge.html")


@require_POST
def remove(request: HttpRequest, organization_slug: str, workload_id: int) -> HttpResponse:
    membership, workload = enter_workload(request, organization_slug, workload_id, Role.EDITOR)
    services.workload_remove(workload=workload, actor=membership.user)
    messages.success(request, f"“{workload.name}” is removed.")
    return redirect("workloads:index", organization_slug)


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
            volume_source=_entered(membership),
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
            return _saved(request, membership, [saved])
    return render(request, template, {"membership": membership, "form": form, "workload": workload})


def _saved(request: HttpRequest, membership: Membership, saved: list[Workload]) -> HttpResponse:
    slug = membership.organization.slug
    if len(saved) > 1:
        messages.success(request, f"{len(saved)} workloads are saved.")
        return redirect("workloads:index", slug)
    messages.success(request, f"“{saved[0].name}” is saved.")
    return redirect("workloads:detail", slug, saved[0].pk)


def _entered(membership: Membership) -> str:
    return f"entered by {membership.user.email}"
