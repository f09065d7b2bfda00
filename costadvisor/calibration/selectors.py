"""Reads jobs and records."""

from django.db.models import QuerySet

from costadvisor.accounts.models import Organization
from costadvisor.calibration.models import UNFINISHED, CalibrationJob, CalibrationRecord


def job_list(*, organization: Organization) -> QuerySet[CalibrationJob]:
    """Newest first, each with its record, of which the content is left out."""
    return (
        CalibrationJob.objects.filter(organization=organization)
        .select_related("record")
        .defer("record__canonical_json")
    )


def job_list_unfinished(*, organization: Organization) -> QuerySet[CalibrationJob]:
    return job_list(organization=organization).filter(state__in=UNFINISHED)


def job_find(*, organization: Organization, job_id: int) -> CalibrationJob | None:
    return job_list(organization=organization).filter(pk=job_id).first()


def record_list(*, organization: Organization) -> QuerySet[CalibrationRecord]:
    """Newest first, each with its job, and without its content, which is large."""
    records = CalibrationRecord.objects.filter(organization=organization).select_related("job", "created_by")
    return records.defer("canonical_json")


def record_find(*, organization: Organization, record_id: int) -> CalibrationRecord | None:
    return record_list(organization=organization).defer(None).filter(pk=record_id).first()
