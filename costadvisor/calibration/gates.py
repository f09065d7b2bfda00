"""The gates of an organization's calibration jobs and records."""

from django.http import Http404, HttpRequest

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord
from costadvisor.calibration.selectors import job_find, record_find


def enter_job(
    request: HttpRequest, organization_slug: str, job_id: int, needed: Role = Role.VIEWER
) -> tuple[Membership, CalibrationJob]:
    membership = enter(request, organization_slug, needed)
    job = job_find(organization=membership.organization, job_id=job_id)
    if job is None:
        raise Http404
    return membership, job


def enter_record(request: HttpRequest, organization_slug: str, record_id: int) -> tuple[Membership, CalibrationRecord]:
    membership = enter(request, organization_slug)
    record = record_find(organization=membership.organization, record_id=record_id)
    if record is None:
        raise Http404
    return membership, record
