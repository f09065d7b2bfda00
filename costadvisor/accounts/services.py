"""Writes users, organizations, memberships and API tokens."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F
from django.utils.text import slugify

from costadvisor.accounts.models import ApiToken, Membership, Organization, Role, Scope, User
from costadvisor.accounts.selectors import token_sha256
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal

MARK = "cadv_"  # of a token: lets a secret scanner know one
TOKEN_LONGEST_DAYS = 366
MINUTE = timedelta(minutes=1)


def user_create(*, email: str, password: str, name: str = "") -> User:
    """Raises Refusal for a bad or taken address and for a password that is too easy to guess."""
    email = email.strip().lower()
    if User.objects.filter(email=email).exists():
        raise Refusal(f"A user with the address {email} exists already.", field="email")
    user = User(email=email, name=name)
    _validated("email", lambda: validate_email(email))
    _validated("password", lambda: validate_password(password, user))
    user.set_password(password)
    user.save()
    event_record(action="user_create", object_kind="user", object_id=user.pk, actor_email=email)
    return user


@transaction.atomic
def user_password_set(*, user: User, password: str) -> None:
    """Replaces the password; whoever is logged in by the old one is logged out. Raises Refusal for one too easy to
    guess."""
    _validated("password", lambda: validate_password(password, user))
    user.set_password(password)
    user.save(update_fields=["password"])
    event_record(action="user_password_set", object_kind="user", object_id=user.pk, actor_email=user.email)


@transaction.atomic
def organization_create(*, name: str, admin: User) -> Organization:
    """A new organization with `admin` as its first member."""
    if not name.strip():
        raise Refusal("An organization needs a name.", field="name")
    organization = Organization.objects.create(name=name.strip(), slug=_free_slug(name))
    membership_set(organization=organization, user=admin, role=Role.ADMIN, actor=admin)
    return organization


@transaction.atomic
def membership_set(*, organization: Organization, user: User, role: Role, actor: User | None = None) -> Membership:
    """Makes `user` a member with `role`, or changes the role of a member. No actor: whoever runs the server did."""
    membership, _ = Membership.objects.update_or_create(
        organization=organization, user=user, defaults={"role": role.value}
    )
    event_record(
        action="membership_set",
        object_kind="membership",
        object_id=membership.pk,
        organization_id=organization.pk,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"user_id": user.pk, "role": role.value},
    )
    return membership


@transaction.atomic
def token_create(
    *,
    organization: Organization,
    name: str,
    scopes: Sequence[Scope],
    days: int,
    now: datetime,
    actor: User | None = None,
) -> tuple[ApiToken, str]:
    """The token's row, and the token itself, which is nowhere else. Raises Refusal for a bad or taken name or time."""
    if not name.strip():
        raise Refusal("A token needs a name, such as the program that will use it.", field="name")
    if ApiToken.objects.filter(organization=organization, name=name.strip()).exists():
        raise Refusal(f"There is a token named {name.strip()} already; names are not used twice.", field="name")
    if not 1 <= days <= TOKEN_LONGEST_DAYS:
        raise Refusal(f"A token lasts from 1 to {TOKEN_LONGEST_DAYS} days, not {days}.", field="days")
    secret = MARK + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        organization=organization,
        name=name.strip(),
        scopes=[scope.value for scope in scopes],
        sha256=token_sha256(secret),
        created_by=actor,
        expires_at=now + timedelta(days=days),
    )
    _token_event("api_token_create", token, actor)
    return token, secret


@transaction.atomic
def token_revoke(*, token: ApiToken, now: datetime, actor: User | None = None) -> None:
    """From now on the token is unknown."""
    token.revoked_at = now
    token.save(update_fields=["revoked_at"])
    _token_event("api_token_revoke", token, actor)


def token_wait_s(*, token: ApiToken, now: datetime, calls_per_minute: int) -> float:
    """Counts a call; 0, or the seconds to wait where the minute's calls are used up.

    The count is in the database, so that it holds for all processes together.
    """
    mine = ApiToken.objects.filter(pk=token.pk)
    if mine.filter(minute_at__gt=now - MINUTE, calls__lt=calls_per_minute).update(calls=F("calls") + 1):
        return 0.0
    if mine.exclude(minute_at__gt=now - MINUTE).update(minute_at=now, calls=1):
        return 0.0
    began = mine.values_list("minute_at", flat=True).get()
    return max(0.0, ((began or now) + MINUTE - now).total_seconds())


def _free_slug(name: str) -> str:
    stem = slugify(name)[:50] or "organization"
    taken = set(Organization.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(slug for slug in numbered if slug not in taken)


def _validated(field: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ValidationError as error:
        raise Refusal(" ".join(error.messages), field=field) from error


def _token_event(action: str, token: ApiToken, actor: User | None) -> None:
    event_record(
        action=action,
        object_kind="api_token",
        object_id=token.pk,
        organization_id=token.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"name": token.name, "scopes": token.scopes},
    )
