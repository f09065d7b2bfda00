"""Reads users and their memberships."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from costadvisor.accounts.models import Membership, User


def user_find(*, email: str) -> User | None:
    return User.objects.filter(email=email.strip().lower()).first()


def membership_find(*, user: User | AnonymousUser, organization_slug: str) -> Membership | None:
    if not user.is_authenticated:
        return None
    memberships = Membership.objects.select_related("organization", "user")
    return memberships.filter(user=user, organization__slug=organization_slug).first()


def membership_list(*, user: User) -> QuerySet[Membership]:
    """The user's memberships by name of the organization."""
    return Membership.objects.filter(user=user).select_related("organization").order_by("organization__name", "id")
