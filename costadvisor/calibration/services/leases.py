"""What workers and the reaper do with jobs. Every write after the claim is fenced by the lease's token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from costadvisor.audit.services import event_record
from costadvisor.calibration.models import CalibrationJob, FailureCode, JobState
from costadvisor.calibration.progress import Progress
from costadvisor.calibration.services.jobs import message_send_on_commit
from costadvisor.calibration.services.records import record_create
from engine.calibrate.record import Record

FREE: dict[str, Any] = {"lease_token": None, "leased_until": None}
LEAST_SHARE = 0.5  # of its time limit: with less than this left of the budget an attempt is not worth its price


@dataclass(frozen=True)
class Lease:
    """The right to work on a job: `job` as it was claimed, and the token that every write must name."""

    job: CalibrationJob
    token: UUID


class Answer(Enum):
    """What a heartbeat is told. LOST: somebody else has the job now, or it has ended; stop and write nothing."""

    GO_ON = "go on"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True)
class Reaped:
    """What a pass of the reaper did, in numbers of jobs."""

    requeued: int = 0
    ended: int = 0
    sent: int = 0


def job_claim(*, job_id: int, attempt: int, worker_id: str, now: datetime) -> Lease | None:
    """The lease of a queued job. None: this message was delivered before, or the job is not to be done any more."""
    token = uuid4()
    claimed = CalibrationJob.objects.filter(pk=job_id, state=JobState.QUEUED, attempts=attempt - 1).update(
        state=JobState.RUNNING,
        attempts=attempt,
        lease_token=token,
        leased_until=_lease_end(now),
        heartbeat_at=None,
        worker_id=worker_id,
        started_at=now,
        progress_json=None,
    )
    return Lease(CalibrationJob.objects.select_related("organization").get(pk=job_id), token) if claimed else None


def job_heartbeat(*, lease: Lease, progress: Progress, now: datetime) -> Answer:
    """Prolongs the lease and stores the progress."""
    beaten = _held(lease).update(
        heartbeat_at=now, leased_until=_lease_end(now), progress_json=progress.model_dump(mode="json")
    )
    if not beaten:
        return Answer.LOST
    return Answer.CANCEL if _held(lease).filter(cancel_requested=True).exists() else Answer.GO_ON


def job_succeed(*, lease: Lease, record: Record, now: datetime) -> bool:
    """Stores the record. False, and nothing stored, if the lease is lost."""
    return _end(lease, now, record, {"state": JobState.SUCCEEDED})


def job_fail(*, lease: Lease, code: FailureCode, message: str, record: Record | None = None, now: datetime) -> bool:
    """Ends the job for good; `record` is what was measured until then. False if the lease is lost."""
    return _end(lease, now, record, _failure(code, message))


def job_stop(*, lease: Lease, record: Record | None, now: datetime) -> bool:
    """Ends a job that was told to cancel; `record` is what was measured until then. False if the lease is lost."""
    return _end(lease, now, record, {"state": JobState.CANCELLED})


def job_unsend(*, job_id: int) -> None:
    """A message that this worker took and cannot act on any more: the next pass of a reaper sends another."""
    _row(job_id).filter(state=JobState.QUEUED).update(sent_at=None)


@transaction.atomic
def job_requeue(*, lease: Lease, now: datetime) -> bool:
    """Gives a job back that this worker cannot go on with, for a reaper to send. False if the lease is lost."""
    job = _held(lease).select_for_update().first()
    if job is None:
        return False
    _requeue_or_end(job, stopped_at=now, now=now)
    return True


def jobs_reap(*, now: datetime) -> Reaped:
    """Takes jobs from workers that are gone, and sends messages for queued jobs that have none or that nobody took."""
    taken = [_reap(job_id, now) for job_id in _ids(Q(state=JobState.RUNNING, leased_until__lt=now))]
    states = [state for state in taken if state is not None]
    overdue = now - timedelta(seconds=settings.CALIBRATION_RESEND_S)
    sent = sum(_send_again(job_id, overdue, now) for job_id in _ids(_unheard(overdue)))
    requeued = states.count(JobState.QUEUED)
    return Reaped(requeued, len(states) - requeued, sent)


@transaction.atomic
def _reap(job_id: int, now: datetime) -> JobState | None:
    """The job's new state; None if its worker was heard of in the meantime."""
    job = _row(job_id).filter(state=JobState.RUNNING, leased_until__lt=now).select_for_update().first()
    if job is None or job.leased_until is None:
        return None
    # Nobody knows when the worker stopped, so its time counts to the end of the lease.
    return _requeue_or_end(job, stopped_at=job.leased_until, now=now)


def _requeue_or_end(job: CalibrationJob, *, stopped_at: datetime, now: datetime) -> JobState:
    """Back to the queue while attempts and budget remain. The job's row is locked by the caller."""
    used = job.seconds_used(stopped_at)
    job.earlier_seconds, job.started_at = used, None
    end = _reason_to_end(job)
    if end is not None:
        _row(job.pk).update(**FREE, **end, finished_at=stopped_at)
        _record(job, str(end["state"]))
        return JobState(end["state"])
    _row(job.pk).update(
        **FREE,
        state=JobState.QUEUED,
        earlier_seconds=used,
        started_at=None,
        heartbeat_at=None,
        progress_json=None,
        queued_at=now,
        sent_at=None,
    )
    _record(job, "requeue")
    return JobState.QUEUED


def _reason_to_end(job: CalibrationJob) -> dict[str, Any] | None:
    if job.cancel_requested:
        return {"state": JobState.CANCELLED}
    if job.attempts >= job.max_attempts:
        message = f"The last of {job.max_attempts} attempts ended with its worker, {job.worker_id}."
        return _failure(FailureCode.WORKER_LOST, message)
    if job.longest_seconds < LEAST_SHARE * job.max_minutes * 60:
        return _failure(FailureCode.BUDGET_SPENT, f"{job.attempts} attempts used what the budget allows.")
    return None


def _failure(code: FailureCode, message: str) -> dict[str, Any]:
    return {"state": JobState.FAILED, "failure_code": code, "failure_message": message[:1000]}


@transaction.atomic
def _send_again(job_id: int, overdue: datetime, now: datetime) -> bool:
    if not _row(job_id).filter(_unheard(overdue)).update(sent_at=now):
        return False
    job = CalibrationJob.objects.get(pk=job_id)
    message_send_on_commit(job_id=job.pk, attempt=job.attempts + 1, device=job.device)
    return True


@transaction.atomic
def _end(lease: Lease, now: datetime, record: Record | None, values: dict[str, Any]) -> bool:
    # The fence comes first: without the lease nothing may be stored, and with it nobody else can end the job.
    if not _held(lease).update(**FREE, **values, finished_at=now):
        return False
    if record is not None:
        record_create(organization=lease.job.organization, record=record, job=lease.job)
    _record(lease.job, str(values["state"]))
    return True


def _record(job: CalibrationJob, what: str) -> None:
    event_record(
        action=f"calibration_job_{what}",
        object_kind="calibration_job",
        object_id=job.pk,
        organization_id=job.organization_id,
        details={"attempt": job.attempts, "worker_id": job.worker_id},
    )


def _held(lease: Lease) -> QuerySet[CalibrationJob]:
    return _row(lease.job.pk).filter(lease_token=lease.token, state=JobState.RUNNING)


def _row(job_id: int) -> QuerySet[CalibrationJob]:
    return CalibrationJob.objects.filter(pk=job_id)


def _ids(condition: Q) -> list[int]:
    return list(CalibrationJob.objects.filter(condition).order_by("pk").values_list("pk", flat=True))


def _unheard(overdue: datetime) -> Q:
    return Q(state=JobState.QUEUED) & (Q(sent_at=None) | Q(sent_at__lt=overdue))


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.CALIBRATION_LEASE_S)
