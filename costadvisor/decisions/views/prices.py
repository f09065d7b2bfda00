"""The pages that say what new prices do to decisions."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from costadvisor.accounts.gates import enter
from costadvisor.decisions.price_changes import decisions_moved, price_event_find, price_events


@require_GET
def price_changes(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    events = price_events(organization=membership.organization)
    return render(request, "decisions/price_changes.html", {"membership": membership, "events": events})


@require_GET
def price_change(request: HttpRequest, organization_slug: str, event_id: str) -> HttpResponse:
    """Decisions that it touches are answered twice, which takes a second or so each."""
    membership = enter(request, organization_slug)
    event = price_event_find(organization=membership.organization, event_id=event_id)
    if event is None:
        raise Http404
    moved = list(decisions_moved(organization=membership.organization, event=event))
    context = {"membership": membership, "event": event, "moved": moved}
    return render(request, "decisions/price_change.html", context)
