"""The trail is append-only."""

import pytest

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.models import Event
from costadvisor.audit.services import event_record


def test_an_event_can_be_neither_changed_nor_removed(db: None) -> None:
    event = event_record(action="thing_create", object_kind="thing", object_id=7, organization_id=1)
    with pytest.raises(TypeError, match="append-only"):
        event.save()
    with pytest.raises(TypeError, match="append-only"):
        event.delete()
    with pytest.raises(TypeError, match="append-only"):
        Event.objects.update(action="other")
    with pytest.raises(TypeError, match="append-only"):
        Event.objects.all().delete()
    assert Event.objects.get().action == "thing_create"


def test_events_outlive_the_user_they_tell_of(acme: Organization, alice: User) -> None:
    alice.delete()
    recorded = Event.objects.get(organization_id=acme.pk, action="membership_set")
    assert recorded.actor_email == "alice@example.com"
