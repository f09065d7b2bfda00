"""The gate every page of an organization passes first."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from costadvisor.accounts.models import Membership, Role
from costadvisor.accounts.selectors import membership_find


def enter(request: HttpRequest, organization_slug: str, needed: Role = Role.VIEWER) -> Membership:
    """The caller's membership. Outsiders get 404, as if there were no such organization; too low a role gets 403."""
    membership = membership_find(user=request.user, organization_slug=organization_slug)
    if membership is None:
        raise Http404
    if not membership.allows(needed):
        raise PermissionDenied(f"This needs the role {needed.label.lower()} or higher; yours is {membership.role}.")
    return membership
