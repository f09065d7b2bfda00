"""What people do with jobs: create, enqueue, cancel."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.calibration.model_folders import model_folders
from costadvisor.calibration.models import CalibrationJob, Device, JobState, Tier
from costadvisor.celery import app
from costadvisor.common.money import money_text
from costadvisor.common.refusal import Refusal
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_to_calibration

TASK = "calibration_run"
LEAST_MINUTES, MOST_MINUTES = 0.2, 240
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobSpec:
    """What a person chooses. None: no price known, no cap on the cost."""

    model_name: str
    device: Device
    tier: Tier
    max_minutes: float
    usd_per_hour: Decimal | None = None
    provider: str = ""
    region: str = ""
    budget_usd: Decimal | None = None


@transaction.atomic
def job_create(*, organization: Organization, actor: User, workload: Workload, spec: JobSpec) -> CalibrationJob:
    """A draft with its own copy of the workload. Raises Refusal for a model that is not listed, a time limit out of
    range, another organization's workload, or a cap that the costs could exceed."""
    _check(organization, workload, spec)
    profile = workload.profile
    job = CalibrationJob.objects.create(
        organization=organization,
        created_by=actor,
        workload=workload,
        workload_name=workload.name,
        lengths=workload_to_calibration(workload=workload),
        ttft_p95_ms=profile.ttft_p95_ms.value,
        tpot_p95_ms=profile.tpot_p95_ms.value,
        **vars(spec),
    )
    _record(job, actor, "calibration_job_create", {"model": job.model_name, "workload": job.workload_name})
    return job


@transaction.atomic
def job_enqueue(*, job: CalibrationJob, actor: User, now: datetime) -> None:
    """Starts a draft. Its message goes out on commit. Raises Refusal if it was started or cancelled before."""
    drafts = CalibrationJob.objects.filter(pk=job.pk, state=JobState.DRAFT)
    if not drafts.update(state=JobState.QUEUED, queued_at=now, sent_at=now):
        raise Refusal("This calibration was started or cancelled already.")
    _record(job, actor, "calibration_job_enqueue", {"budget_usd": _text(job.budget_usd)})
    message_send_on_commit(job_id=job.pk, attempt=1, device=job.device)


@transaction.atomic
def job_cancel(*, job: CalibrationJob, actor: User, now: datetime) -> None:
    """A job that nobody works on is cancelled at once; a running one when its worker hears of it. Raises Refusal if it
    has ended."""
    mine = CalibrationJob.objects.filter(pk=job.pk)
    waiting = mine.filter(state__in=(JobState.DRAFT, JobState.QUEUED))
    cancelled = waiting.update(state=JobState.CANCELLED, finished_at=now, cancel_requested=True)
    if not cancelled and not mine.filter(state=JobState.RUNNING).update(cancel_requested=True):
        raise Refusal("This calibration has ended already.")
    _record(job, actor, "calibration_job_cancel", {})


def message_send_on_commit(*, job_id: int, attempt: int, device: str) -> None:
    """The broker may be down or lose the message: the row stays queued, and the reaper sends it again."""
    transaction.on_commit(lambda: _send(job_id, attempt, device))


def queue_of(device: str) -> str:
    """Workers say which queues they serve: `celery -A costadvisor worker -Q cpu,gpu`."""
    return "gpu" if device == Device.CUDA else "cpu"


def _send(job_id: int, attempt: int, device: str) -> None:
    try:
        app.send_task(TASK, kwargs={"job_id": job_id, "attempt": attempt}, queue=queue_of(device))
    except Exception:
        logger.exception("The message of calibration %s could not be sent; the reaper will try again.", job_id)


def _check(organization: Organization, workload: Workload, spec: JobSpec) -> None:
    if workload.organization_id != organization.pk:
        raise Refusal("There is no such workload.", field="workload")
    if spec.model_name not in model_folders():
        raise Refusal(f"{spec.model_name} is not among the models that can be measured here.", field="model_name")
    if not LEAST_MINUTES <= spec.max_minutes <= MOST_MINUTES:
        raise Refusal(f"The time limit is from {LEAST_MINUTES} to {MOST_MINUTES} minutes.", field="max_minutes")
    if spec.budget_usd is None:
        return
    if spec.usd_per_hour is None:
        raise Refusal("A cap can only be held with a price: say what the hour costs.", field="usd_per_hour")
    longest = spec.usd_per_hour * Decimal(spec.max_minutes) / 60
    if longest > spec.budget_usd:
        raise Refusal(
            f"{spec.max_minutes:g} minutes at {money_text(spec.usd_per_hour, 'USD')} an hour can cost"
            f" {money_text(longest, 'USD')}, more than the cap of {money_text(spec.budget_usd, 'USD')}."
            " Lower the time limit, or raise the cap.",
            field="budget_usd",
        )


def _record(job: CalibrationJob, actor: User, action: str, details: Mapping[str, Any]) -> None:
    event_record(
        action=action,
        object_kind="calibration_job",
        object_id=job.pk,
        organization_id=job.organization_id,
        actor_id=actor.pk,
        actor_email=actor.email,
        details=details,
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
