"""The page on which each price can be looked up, with its source and its age."""

from datetime import date

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from costadvisor.accounts.gates import enter
from costadvisor.catalog.ages import PRICE_MAX_AGE_DAYS
from costadvisor.catalog.lookup import API_PRICES_SHOWN, api_lines, host_lines, offer_lines
from costadvisor.catalog.snapshot import snapshot


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """As known on `on`, by default today: what a case of that day rests on."""
    membership = enter(request, organization_slug)
    on, refused = _day(request.GET.get("on", ""))
    asked, gpu, catalog = request.GET.get("q", "").strip()[:100], request.GET.get("gpu", ""), snapshot()
    offers = offer_lines(catalog, on, gpu)
    listed, matching = api_lines(catalog, on, asked)
    context = {
        "membership": membership,
        "on": on,
        "refused": refused,
        "asked": asked,
        "gpu": gpu,
        "gpus": sorted({offer.gpu for offer in catalog.gpu_offers}),
        "offers": offers,
        "stale_offers": sum(line.dated.stale for line in offers),
        "hosts": list(host_lines(catalog, on)),
        "prices": listed,
        "matching": matching,
        "shown_at_most": API_PRICES_SHOWN,
        "quality": catalog.quality_scores,
        "opex": catalog.opex_facts,
        "max_age_days": PRICE_MAX_AGE_DAYS,
    }
    return render(request, "catalog/index.html", context)


def _day(said: str) -> tuple[date, str]:
    """The day asked for, or today with what was wrong."""
    today = timezone.localdate()
    if not said:
        return today, ""
    try:
        return date.fromisoformat(said), ""
    except ValueError:
        return today, f"The day {said[:40]!r} cannot be read; write it as {today}. Prices of today are shown."
