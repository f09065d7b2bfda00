"""Writes keys to providers' billing APIs."""

from datetime import date, datetime

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import BillPull, Provider, ProviderKey
from costadvisor.spend.provider_keys import ProviderSecret, seal
from costadvisor.spend.pulling.reports import APIS

OLDEST_DAYS = 3 * 366


@transaction.atomic
def provider_key_set(
    *, organization: Organization, actor: User | None, provider: Provider, secret: ProviderSecret, since: date,
    now: datetime,
) -> ProviderKey:  # fmt: skip
    """Keeps the key, sealed, instead of an earlier one. No actor: whoever runs the server did."""
    if not 0 <= (now.date() - since).days <= OLDEST_DAYS:
        raise Refusal("Begin on a day of the last three years.", field="since")
    values = {"sealed": seal(secret), "last_four": secret.last_four, "since": since, "set_by": actor, "set_at": now}
    key, _ = ProviderKey.objects.update_or_create(organization=organization, provider=provider.value, defaults=values)
    key.pulls.all().delete()  # another key may be of another account: begin anew
    BillPull.objects.bulk_create(
        BillPull(key=key, report=report.name, first_day=since, end_day=since) for report in APIS[provider].reports
    )
    _event("provider_key_set", key, actor)
    return key


@transaction.atomic
def provider_key_forget(*, key: ProviderKey, actor: User | None) -> None:
    """What was fetched by it stays."""
    _event("provider_key_forget", key, actor)
    key.delete()


def _event(action: str, key: ProviderKey, actor: User | None) -> None:
    event_record(
        action=action,
        object_kind="provider_key",
        object_id=key.pk,
        organization_id=key.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"provider": key.provider, "last_four": key.last_four, "since": f"{key.since}"},
    )
