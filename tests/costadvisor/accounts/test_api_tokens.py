"""API tokens: shown once, kept as a hash, and made and taken back by commands."""

import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from costadvisor.accounts.models import ApiToken, Organization, Scope
from costadvisor.accounts.selectors import token_find
from costadvisor.accounts.services import token_create
from costadvisor.audit.models import Event
from costadvisor.common.refusal import Refusal


def made(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_token_is_printed_once_and_kept_as_its_hash_only(acme: Organization) -> None:
    told = made("createtoken", "acme", "ci", "--days", "7")
    secret = told.split("Shown only here: ")[1].strip()
    token = ApiToken.objects.get()
    assert secret.startswith("cadv_")
    assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(Event.objects.filter(action="api_token_create").values())
    assert token_find(secret=secret, now=timezone.now()) == token
    assert (token.expires_at - timezone.now()).days in {6, 7}


def test_a_revoked_token_is_unknown_and_its_name_is_told(acme: Organization) -> None:
    secret = made("createtoken", "acme", "ci").split("Shown only here: ")[1].strip()
    with pytest.raises(CommandError, match="There is no token cd; there is ci"):
        made("revoketoken", "acme", "cd")
    assert "revoked" in made("revoketoken", "acme", "ci")
    assert token_find(secret=secret, now=timezone.now()) is None
    assert Event.objects.filter(action="api_token_revoke").count() == 1


@pytest.mark.parametrize(
    ("name", "days", "field"), [("", 1, "name"), ("ci", 1, "name"), ("other", 0, "days"), ("other", 999, "days")]
)
def test_bad_names_and_times_are_refused(acme: Organization, name: str, days: int, field: str) -> None:
    now = timezone.now()
    token_create(organization=acme, name="ci", scopes=[Scope.EVALUATE], days=1, now=now)
    with pytest.raises(Refusal) as refused:
        token_create(organization=acme, name=name, scopes=[Scope.EVALUATE], days=days, now=now)
    assert refused.value.field == field
    assert ApiToken.objects.count() == 1


def test_an_unknown_organization_is_named(acme: Organization) -> None:
    with pytest.raises(CommandError, match="There is no organization rival; there is acme") as refused:
        made("createtoken", "rival", "ci")
    assert refused.value.returncode == 2
