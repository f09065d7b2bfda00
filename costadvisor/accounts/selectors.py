"""Reads users, their memberships, organizations and API tokens."""

import hashlib
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from costadvisor.accounts.models import ApiToken, Membership, Organization, User
from costadvisor.common.refusal import Refusal


def user_find(*, email: str) -> User | None:
    return User.objects.filter(email=email.strip().lower()).first()


def organization_get(*, slug: str) -> Organization:
    """Raises Refusal, with the names of those there are, for one that is unknown."""
    found = Organization.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Organization.objects.order_by("slug").values_list("slug", flat=True))
        raise Refusal(f"There is no organization {slug}; there is {known or 'none yet'}.", field="organization")
    return found


def membership_find(*, user: User | AnonymousUser, organization_slug: str) -> Membership | None:
    if not user.is_authenticated:
        return None
    memberships = Membership.objects.select_related("organization", "user")
    return memberships.filter(user=user, organization__slug=organization_slug).first()


def membership_list(*, user: User) -> QuerySet[Membership]:
    """The user's memberships by name of the organization."""
    return Membership.objects.filter(user=user).select_related("organization").order_by("organization__name", "id")


def token_find(*, secret: str, now: datetime) -> ApiToken | None:
    """None for one that is unknown, expired or revoked."""
    standing = ApiToken.objects.select_related("organization").filter(revoked_at=None, expires_at__gt=now)
    return standing.filter(sha256=token_sha256(secret)).first()


def token_sha256(secret: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode()).hexdigest()
