"""Writes audit events."""

from collections.abc import Mapping
from typing import Any

from costadvisor.audit.models import Event


def event_record(
    *,
    action: str,
    object_kind: str,
    object_id: int | str,
    organization_id: int | None = None,
    actor_id: int | None = None,
    actor_email: str = "",
    details: Mapping[str, Any] | None = None,
) -> Event:
    """Appends one event. `action` reads `<entity>_<verb>`; `details` is JSON and holds no secrets and no content."""
    return Event.objects.create(
        action=action,
        object_kind=object_kind,
        object_id=str(object_id),
        organization_id=organization_id,
        actor_id=actor_id,
        actor_email=actor_email,
        details=dict(details or {}),
    )
