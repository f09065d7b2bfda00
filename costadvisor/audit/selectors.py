"""Reads the trail."""

from costadvisor.audit.models import Event, EventQuerySet


def event_list(*, organization_id: int) -> EventQuerySet:
    """The organization's events, newest first."""
    return Event.objects.filter(organization_id=organization_id)
