"""The spend pages: overview, upload with preview, columns of unknown files, typed figures.

What reads files is imported by the pages that do: it takes some fifty megabytes that no other page needs.
"""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Role
from costadvisor.common.refusal import Refusal
from costadvisor.spend import selectors
from costadvisor.spend.forms import MonthlyCostForm, UploadForm
from costadvisor.spend.gates import import_for_edit, upload_for_edit
from costadvisor.spend.models import BillImport, UploadState
from costadvisor.spend.overview import first_month_shown, spend_grid, token_mix
from costadvisor.spend.rates import days_in_usd, foreign_months
from costadvisor.spend.reconciliation import Reconciled, reconcile

CHARGES_SHOWN = 24


@require_GET
def overview(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    usage = selectors.usage_months(organization=membership.organization)
    grid = spend_grid(usage)
    context = {
        "membership": membership,
        "grid": grid,
        "mix": token_mix(usage, grid.months) if grid else [],
        "foreign": foreign_months(usage, selectors.rates_confirmed(organization=membership.organization)),
        "charges": selectors.charges_apart(organization=membership.organization)[:CHARGES_SHOWN],
        "imports": selectors.import_list(organization=membership.organization),
    }
    return render(request, "spend/overview.html", context)


@require_GET
def reconciliation(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """Billed against priced, by month; of one month, provider and model by day."""
    membership = enter(request, organization_slug)
    since = first_month_shown(timezone.localdate())
    rates = selectors.rates_confirmed(organization=membership.organization)
    use = days_in_usd(selectors.days_of_use(organization=membership.organization, since=since), rates)
    asked = {name: request.GET.get(name, "") for name in ("month", "provider", "model")}
    context: dict[str, Any] = {"membership": membership, "since": since}
    if asked["month"]:
        lines = [line for line in reconcile(use, by_day=True) if _is_of(line, asked)]
        return render(request, "spend/reconciliation_days.html", context | {"lines": lines, "asked": asked})
    return render(request, "spend/reconciliation.html", context | {"lines": reconcile(use)})


def _is_of(line: Reconciled, asked: dict[str, str]) -> bool:
    said = {"month": f"{line.when:%Y-%m}", "provider": line.provider, "model": line.model}
    return said == asked


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, organization_slug: str) -> HttpResponse:
    from costadvisor.spend import services
    from costadvisor.spend.formats.registry import FORMATS

    membership = enter(request, organization_slug, Role.EDITOR)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            pending = services.upload_create(
                organization=membership.organization,
                actor=membership.user,
                file_name=form.cleaned_data["file"].name,
                content=form.cleaned_data["file"].file,
            )
            return redirect("spend:preview", organization_slug, pending.pk)
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
    context = {"membership": membership, "form": form, "formats": [form.LABEL for form in FORMATS.values()]}
    return render(request, "spend/upload.html", context)


@require_GET
def preview(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    from costadvisor.spend.formats.mapped_csv import MappedCsv
    from costadvisor.spend.formats.registry import FORMATS
    from costadvisor.spend.previews import upload_preview
    from costadvisor.spend.staging import file_of, progress_of

    membership, pending = upload_for_edit(request, organization_slug, upload_id)
    if pending.state == UploadState.UNKNOWN:
        return redirect("spend:mapping", organization_slug, upload_id)
    context: dict[str, Any] = {"membership": membership, "upload": pending}
    if pending.bill_import is not None:
        messages.success(request, _stored_text(pending.bill_import))
        return redirect("spend:overview", organization_slug)
    if pending.state != UploadState.READY:
        return render(request, "spend/waiting.html", context | {"progress": progress_of(pending)})
    context |= {
        "label": FORMATS[pending.format_name].LABEL if pending.format_name in FORMATS else MappedCsv.LABEL,
        "is_mapped": pending.format_name not in FORMATS,
        "can_be_mapped": file_of(pending).exists(),
        "preview": upload_preview(upload=pending),
    }
    return render(request, "spend/preview.html", context)


@require_http_methods(["GET", "POST"])
def mapping(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    """Which column is what, of a file in no known format."""
    from costadvisor.spend import services
    from costadvisor.spend.formats.mapped_csv import MappedCsv
    from costadvisor.spend.mapping_form import mapping_of

    membership, pending = upload_for_edit(request, organization_slug, upload_id)
    asked = mapping_of(pending, request.POST or None)
    if asked is None:
        return redirect("spend:preview", organization_slug, upload_id)
    table, form = asked
    if request.method == "POST" and form.is_valid():
        try:
            services.upload_map(upload=pending, form=MappedCsv(form.choices, table.columns))
            return redirect("spend:preview", organization_slug, upload_id)
        except Refusal as refusal:
            form.add_error(None, str(refusal))
    context = {"membership": membership, "upload": pending, "form": form, "table": table}
    return render(request, "spend/mapping.html", context)


@require_POST
def confirm(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    from costadvisor.spend import services

    membership, pending = upload_for_edit(request, organization_slug, upload_id)
    try:
        services.upload_confirm(upload=pending, actor=membership.user, leave_out_bad_lines="leave_out" in request.POST)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    if pending.bill_import is None:
        return redirect("spend:preview", organization_slug, upload_id)
    messages.success(request, _stored_text(pending.bill_import))
    return redirect("spend:overview", organization_slug)


def _stored_text(stored: BillImport) -> str:
    return (
        f"Imported “{stored}”: {stored.rows_added:,} rows new, {stored.rows_revised:,} revised,"
        f" {stored.rows_unchanged:,} stored already."
    )


@require_POST
def discard(request: HttpRequest, organization_slug: str, upload_id: int) -> HttpResponse:
    from costadvisor.spend import services

    _, pending = upload_for_edit(request, organization_slug, upload_id)
    if pending.bill_import is not None:
        messages.info(request, "It is stored already; remove the import where it is listed.")
        return redirect("spend:overview", organization_slug)
    services.upload_discard(upload=pending)
    messages.info(request, "Nothing was imported; the file is deleted.")
    return redirect("spend:upload", organization_slug)


@require_http_methods(["GET", "POST"])
def typed_cost(request: HttpRequest, organization_slug: str) -> HttpResponse:
    from costadvisor.spend import services

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
    from costadvisor.spend import services

    membership, bill_import = import_for_edit(request, organization_slug, import_id)
    try:
        services.import_remove(bill_import=bill_import, actor=membership.user)
        messages.success(request, f"“{bill_import}” is removed.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("spend:overview", organization_slug)
