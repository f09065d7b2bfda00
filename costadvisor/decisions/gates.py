"""The gates of an organization's decisions and their versions, and of the check of a version by its hash."""

from django.http import Http404, HttpRequest

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.decisions.models import Decision, Recommendation
from costadvisor.decisions.selectors import decision_find, recommendation_find


def enter_decision(
    request: HttpRequest, organization_slug: str, decision_id: int, needed: Role = Role.VIEWER
) -> tuple[Membership, Decision]:
    membership = enter(request, organization_slug, needed)
    decision = decision_find(organization=membership.organization, decision_id=decision_id)
    if decision is None:
        raise Http404
    return membership, decision


def enter_recommendation(
    request: HttpRequest, organization_slug: str, decision_id: int, version: int, needed: Role = Role.VIEWER
) -> tuple[Membership, Recommendation]:
    membership = enter(request, organization_slug, needed)
    recommendation = recommendation_find(organization=membership.organization, decision_id=decision_id, version=version)
    if recommendation is None:
        raise Http404
    return membership, recommendation
