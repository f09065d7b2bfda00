"""Reads jobs and records."""

from django.db.models import QuerySet

from costadvisor.accounts.models import Organization
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord


def job_list(*, organization: Organization) -> QuerySet[CalibrationJob]:
    """Newest first, each with its record."""
    return CalibrationJob.objects.filter(organization=organization).select_related("record", "organization")


def job_find(*, organization: Organization, job_id: int) -> CalibrationJob | None:
    return job_list(organization=organization).filter(pk=job_id).first()


def record_list(*, organization: Organization) -> QuerySet[CalibrationRecord]:
    """Newest first, each with its job."""
    return CalibrationRecord.objects.filter(organization=organization).select_related("job", "created_by")


def record_find(*, organization: Organization, record_id: int) -> CalibrationRecord | None:
    return record_list(organization=organization).filter(pk=record_id).first()
