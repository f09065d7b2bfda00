"""The gate of an organization's workloads."""

from django.http import Http404, HttpRequest

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_find


def enter_workload(
    request: HttpRequest, organization_slug: str, workload_id: int, needed: Role = Role.VIEWER
) -> tuple[Membership, Workload]:
    membership = enter(request, organization_slug, needed)
    workload = workload_find(organization=membership.organization, workload_id=workload_id)
    if workload is None:
        raise Http404
    return membership, workload
