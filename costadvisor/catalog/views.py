"""The page on which each price can be looked up, with its source and its age; and own quotes, entered and withdrawn."""

from datetime import date

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.catalog import selectors
from costadvisor.catalog.ages import max_ages_days
from costadvisor.catalog.forms import FORMS, QuoteForm
from costadvisor.catalog.lookup import API_PRICES_SHOWN, api_lines, host_lines, offer_lines, quote_lines
from costadvisor.catalog.models import Quote
from costadvisor.catalog.services import quotes as services
from costadvisor.common.refusal import Refusal


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """As known on `on`, by default today: what a case of that day rests on."""
    membership = enter(request, organization_slug)
    on, refused = _day(request.GET.get("on", ""))
    asked, gpu = request.GET.get("q", "").strip()[:100], request.GET.get("gpu", "")
    catalog = selectors.catalog_known(organization=membership.organization, on=on)
    offers, hosts = offer_lines(catalog, on, gpu), list(host_lines(catalog, on))
    listed, matching = api_lines(catalog, on, asked)
    quotes = quote_lines(selectors.quote_list(organization=membership.organization), on)
    hosted = [line.dated for line in hosts if line.dated]
    context = {
        "membership": membership,
        "on": on,
        "refused": refused,
        "asked": asked,
        "gpu": gpu,
        "gpus": sorted({offer.gpu for offer in catalog.gpu_offers}),
        "quotes": quotes,
        "stale_quotes": sum(line.dated is not None and line.dated.stale for line in quotes),
        "offers": offers,
        "stale_offers": sum(line.dated.stale for line in offers),
        "hosts": hosts,
        "hosts_priced": len(hosted),
        "stale_hosts": sum(dated.stale for dated in hosted),
        "prices": listed,
        "matching": matching,
        "shown_at_most": API_PRICES_SHOWN,
        "quality": catalog.quality_scores,
        "opex": catalog.opex_facts,
        "max_age_days": max_ages_days(),
        "last_read": selectors.check_list().filter(read_on__lte=on).first(),
    }
    return render(request, "catalog/index.html", context)


@require_http_methods(["GET", "POST"])
def quote_add(request: HttpRequest, organization_slug: str, kind: str) -> HttpResponse:
    """The form of one kind; `valid_from` begins as today."""
    membership = enter(request, organization_slug, Role.EDITOR)
    form = FORMS[kind](request.POST or None, initial={"valid_from": timezone.localdate()})
    if form.is_valid():
        quote = _created(form, membership)
        if quote is not None:
            messages.success(request, f"The quote of {quote} is entered and in use where it holds.")
            return redirect("catalog:index", organization_slug)
    return render(request, "catalog/quote.html", {"membership": membership, "form": form, "kind": kind})


@require_POST
def quote_withdraw(request: HttpRequest, organization_slug: str, quote_id: int) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    quote = selectors.quote_find(organization=membership.organization, quote_id=quote_id)
    if quote is None:
        raise Http404
    try:
        services.quote_withdraw(quote=quote, actor=membership.user, now=timezone.now())
        messages.success(request, f"The quote of {quote} is withdrawn; list prices count again.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("catalog:index", organization_slug)


def _created(form: QuoteForm, membership: Membership) -> Quote | None:
    """None where it was refused, which the form then says."""
    try:
        return services.quote_create(
            organization=membership.organization, actor=membership.user, given=form.given(), now=timezone.now()
        )
    except Refusal as refusal:
        form.show(refusal)
        return None


def _day(said: str) -> tuple[date, str]:
    """The day asked for, or today with what was wrong."""
    today = timezone.localdate()
    if not said:
        return today, ""
    try:
        return date.fromisoformat(said), ""
    except ValueError:
        return today, f"The day {said[:40]!r} cannot be read; write it as {today}. Prices of today are shown."
