"""Writes users, organizations and memberships."""

from collections.abc import Callable

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.text import slugify

from costadvisor.accounts.models import Membership, Organization, Role, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal


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
