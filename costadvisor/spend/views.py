"""The spend pages: overview, upload with preview, typed figures."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Role
from costadvisor.common.refusal import Refusal
from costadvisor.spend import formats, selectors, services
from costadvisor.spend.forms import MonthlyCostForm, UploadForm
from costadvisor.spend.gates import import_for_edit, upload_for_edit
from costadvisor.spend.overview import spend_grid, token_mix

LABELS = {name: form.LABEL for name, form in formats.FORMATS.items()}


@require_GET
def overview(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    usage = selectors.usage_months(organization=membership.organization)
    grid = spend_grid(usage)
    context = {
        "membership": membership,
        "grid": grid,
        "mix": token_mix(usage, grid.months) if grid else [],
        "imports": selectors.import_list(organization=membership.organization),
    }
    return render(request, "spend/overview.html", context)


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            pending = services.upload_create(
                organization=membership.organization,
                actor=membership.user,
                file_name=form.cleaned_data["file"].name,
                content=form.cleaned_data["file"].read(),
            )
            return redirect("spend:preview", organization_slug, pending.pk)
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
    context = {"membership": membership, "form": form, "formats": LABELS.values()}
    return render(request, "spend/upload.html", context)


@require_GET
def preview(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    membership, pending = upload_for_edit(request, organization_slug, upload_id)
    context = {
        "membership": membership,
        "upload": pending,
        "label": LABELS[pending.format_name],
        "preview": selectors.upload_preview(upload=pending),
    }
    return render(request, "spend/preview.html", context)


@require_POST
def confirm(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    membership, pending = upload_for_edit(request, organization_slug, upload_id)
    try:
        stored = services.import_commit(
            upload=pending, actor=membership.user, leave_out_bad_lines="leave_out" in request.POST
        )
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect("spend:preview", organization_slug, upload_id)
    messages.success(
        request,
        f"Imported “{stored}”: {stored.rows_added:,} rows new, {stored.rows_revised:,} revised,"
        f" {stored.rows_unchanged:,} stored already.",
    )
    return redirect("spend:overview", organization_slug)


@require_POST
def discard(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    _, pending = upload_for_edit(request, organization_slug, upload_id)
    services.upload_discard(upload=pending)
    messages.info(request, "Nothing was imported; the file is deleted.")
    return redirect("spend:upload", organization_slug)


@require_http_methods(["GET", "POST"])
def typed_cost(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = MonthlyCostForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.monthly_cost_record(
                organization=membership.organization,
                actor=membership.user,
                month_text=data["month"],
                provider=data["provider"],
                amount=data["amount"],
                currency_code=data["currency"],
            )
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, f"Noted the cost of {data['provider']} in {data['month']}.")
            return redirect("spend:overview", organization_slug)
    return render(request, "spend/typed_cost.html", {"membership": membership, "form": form})


@require_POST
def import_remove(request: HttpRequest, organization_slug: str, import_id: int) -> HttpResponse:
    membership, bill_import = import_for_edit(request, organization_slug, import_id)
    try:
        services.import_remove(bill_import=bill_import, actor=membership.user)
        messages.success(request, f"“{bill_import}” is removed.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("spend:overview", organization_slug)
