"""The page of exchange rates: what was billed in other currencies, the rates confirmed, and those before them.

What writes is imported by the pages that do: it comes with what reads files.
"""

from datetime import date

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Role
from costadvisor.common.refusal import Refusal
from costadvisor.spend import selectors
from costadvisor.spend.forms import ExchangeRateForm
from costadvisor.spend.gates import exchange_rate_for_edit
from costadvisor.spend.rates import foreign_months


@require_http_methods(["GET", "POST"])
def rates(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """Whoever may look sees the rates; the form is an editor's. `?currency=` and `?month=` fill it in."""
    from costadvisor.spend.services.rates import exchange_rate_confirm

    membership = enter(request, organization_slug, Role.EDITOR if request.method == "POST" else Role.VIEWER)
    asked = {name: request.GET.get(name, "") for name in ("currency", "month")}
    form = ExchangeRateForm(request.POST or None, initial=asked)
    if form.is_valid():
        data = form.cleaned_data
        try:
            rate = exchange_rate_confirm(
                organization=membership.organization,
                actor=membership.user,
                currency=data["currency"],
                month=date.fromisoformat(f"{data['month']}-01"),
                usd=data["usd"],
                as_of=data["as_of"],
                source=data["source"],
                now=timezone.now(),
            )
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, f"{rate.month:%B %Y}: {rate}.")
            return redirect("spend:rates", organization_slug)
    organization = membership.organization
    context = {
        "membership": membership,
        "form": form,
        "foreign": foreign_months(
            selectors.usage_months(organization=organization), selectors.rates_confirmed(organization=organization)
        ),
        "history": selectors.rate_history(organization=organization),
    }
    return render(request, "spend/rates.html", context)


@require_POST
def withdraw(request: HttpRequest, organization_slug: str, rate_id: int) -> HttpResponse:
    from costadvisor.spend.services.rates import exchange_rate_withdraw

    membership, rate = exchange_rate_for_edit(request, organization_slug, rate_id)
    try:
        exchange_rate_withdraw(rate=rate, actor=membership.user, now=timezone.now())
        messages.success(request, f"{rate.currency} of {rate.month:%B %Y} is no longer compared in US dollars.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("spend:rates", organization_slug)
