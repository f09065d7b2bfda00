"""The navigation between rooms."""

from typing import Any

from django import template
from django.template.context import RequestContext

from costadvisor.home.navigation import ROOMS

register = template.Library()


@register.inclusion_tag("home/navigation.html", takes_context=True)
def navigation(context: RequestContext) -> dict[str, Any]:
    """Links to the rooms of the page's organization; on a page of none, only the way home."""
    membership = context.get("membership")
    if membership is None:
        return {"rooms": []}
    match = context["request"].resolver_match
    here = match.namespace if match else ""
    rooms = [(room, room.namespace == here) for room in ROOMS]
    return {"rooms": rooms, "organization": membership.organization}
