"""The states of a job: who may move it where, and that nobody without its lease moves it at all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from costadvisor.accounts.models import User
from costadvisor.audit.models import Event
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord, FailureCode, JobState
from costadvisor.calibration.progress import STARTING
from costadvisor.calibration.services.jobs import job_cancel, job_enqueue
from costadvisor.calibration.services.leases import (
    Answer,
    Lease,
    Reaped,
    job_claim,
    job_fail,
    job_heartbeat,
    job_requeue,
    job_stop,
    job_succeed,
    job_unsend,
    jobs_reap,
)
from costadvisor.common.refusal import Refusal
from engine.calibrate.record import Record

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MakeJob = Callable[..., CalibrationJob]
MakeRecord = Callable[..., Record]
Sent = list[tuple[int, int, str]]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def claim(job: CalibrationJob, attempt: int = 1, now: datetime = NOW) -> Lease | None:
    return job_claim(job_id=job.pk, attempt=attempt, worker_id="host:1 task", now=now)


@pytest.fixture
def queued(make_job: MakeJob, alice: User) -> CalibrationJob:
    job = make_job()
    job_enqueue(job=job, actor=alice, now=NOW)
    return job


@pytest.fixture
def lease(queued: CalibrationJob) -> Lease:
    lease = claim(queued)
    assert lease is not None
    return lease


def in_state(make_job: MakeJob, alice: User, state: str) -> tuple[CalibrationJob, Lease]:
    """A job in that state, and the lease of its attempt; one that was never given where there was no attempt."""
    job = make_job()
    lease = Lease(job, uuid4())
    if state != "draft":
        job_enqueue(job=job, actor=alice, now=NOW)
    if state in ("running", "succeeded", "failed"):
        lease = claim(job) or lease
    if state == "succeeded":
        CalibrationJob.objects.filter(pk=job.pk).update(state=state, lease_token=None, leased_until=None)
    if state == "failed":
        job_fail(lease=lease, code=FailureCode.REFUSED, message="no", now=NOW)
    if state == "cancelled":
        job_cancel(job=job, actor=alice, now=NOW)
    return job, lease


# What each service makes of a job in each state; None: it says no and changes nothing.
MOVES: dict[str, dict[str, str | None]] = {
    "draft": {"enqueue": "queued", "cancel": "cancelled"},
    "queued": {"claim": "running", "cancel": "cancelled"},
    "running": {
        "cancel": "running", "succeed": "succeeded", "fail": "failed", "stop": "cancelled", "requeue": "queued",
    },
    "succeeded": {},
    "failed": {},
    "cancelled": {},
}  # fmt: skip
SERVICES = ("enqueue", "cancel", "claim", "succeed", "fail", "stop", "requeue")


def call(service: str, job: CalibrationJob, lease: Lease, alice: User, record: Record) -> bool:
    """Whether the service agreed."""
    fenced: dict[str, Callable[[], Any]] = {
        "enqueue": lambda: job_enqueue(job=job, actor=alice, now=NOW) is None,
        "cancel": lambda: job_cancel(job=job, actor=alice, now=NOW) is None,
        "claim": lambda: claim(job, attempt=lease.job.attempts + 1) is not None,
        "succeed": lambda: job_succeed(lease=lease, record=record, now=NOW),
        "fail": lambda: job_fail(lease=lease, code=FailureCode.REFUSED, message="no", now=NOW),
        "stop": lambda: job_stop(lease=lease, record=None, now=NOW),
        "requeue": lambda: job_requeue(lease=lease, now=NOW),
    }
    try:
        return bool(fenced[service]())
    except Refusal:
        return False


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("state", MOVES)
def test_every_service_in_every_state(
    make_job: MakeJob, make_record: MakeRecord, alice: User, sent: Sent, state: str, service: str
) -> None:
    job, lease = in_state(make_job, alice, state)
    before = CalibrationJob.objects.filter(pk=job.pk).values().get()
    agreed = call(service, job, lease, alice, make_record())
    after = CalibrationJob.objects.filter(pk=job.pk).values().get()
    expected = MOVES[state].get(service)
    assert agreed == (expected is not None)
    assert after["state"] == (expected or state)
    if expected is None:
        assert after == before


def test_the_message_goes_out_on_commit_and_carries_only_numbers(
    make_job: MakeJob, alice: User, sent: Sent, django_capture_on_commit_callbacks: Any
) -> None:
    for device, queue in (("cpu", "cpu"), ("auto", "cpu"), ("cuda", "gpu")):
        job = make_job(device=device)
        with django_capture_on_commit_callbacks(execute=True):
            job_enqueue(job=job, actor=alice, now=NOW)
            assert not sent
        assert sent == [(job.pk, 1, queue)]
        sent.clear()


def test_a_broker_that_is_down_leaves_the_job_queued_for_the_reaper(
    make_job: MakeJob, alice: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr("costadvisor.celery.app.send_task", fail)
    job = make_job()
    with django_capture_on_commit_callbacks(execute=True):
        job_enqueue(job=job, actor=alice, now=NOW)
    job.refresh_from_db()
    assert job.state == "queued"


def test_a_message_delivered_twice_is_claimed_once(queued: CalibrationJob) -> None:
    first, second = claim(queued), claim(queued)
    assert first is not None
    assert second is None
    queued.refresh_from_db()
    assert (queued.attempts, queued.worker_id, queued.started_at) == (1, "host:1 task", NOW)


def test_a_message_of_an_earlier_attempt_claims_nothing(lease: Lease) -> None:
    assert job_requeue(lease=lease, now=later(5))
    assert claim(lease.job, attempt=1) is None
    assert claim(lease.job, attempt=3) is None
    assert claim(lease.job, attempt=2) is not None


def test_only_the_holder_of_the_lease_is_heard(lease: Lease, make_record: MakeRecord) -> None:
    stale = replace(lease, token=uuid4())
    progress = STARTING.model_copy(update={"percent": 50})
    assert job_heartbeat(lease=stale, progress=progress, now=NOW) is Answer.LOST
    assert not job_succeed(lease=stale, record=make_record(), now=NOW)
    assert not CalibrationRecord.objects.exists()
    assert job_heartbeat(lease=lease, progress=progress, now=later(10)) is Answer.GO_ON
    job = CalibrationJob.objects.get(pk=lease.job.pk)
    assert job.progress == progress
    assert (job.heartbeat_at, job.leased_until) == (later(10), later(70))


def test_a_lease_taken_away_does_not_come_back(lease: Lease, make_record: MakeRecord, sent: Sent) -> None:
    assert jobs_reap(now=later(61)) == Reaped(requeued=1, sent=1)
    second = claim(lease.job, attempt=2, now=later(62))
    assert second is not None
    assert job_heartbeat(lease=lease, progress=STARTING, now=later(63)) is Answer.LOST
    assert not job_fail(lease=lease, code=FailureCode.REFUSED, message="late", now=later(64))
    assert job_succeed(lease=second, record=make_record(), now=later(65))
    job = CalibrationJob.objects.get(pk=lease.job.pk)
    assert (job.state, job.attempts, job.record.sha256) == ("succeeded", 2, make_record().sha256)


def test_a_running_job_is_cancelled_by_its_worker(lease: Lease, alice: User, make_record: MakeRecord) -> None:
    job_cancel(job=lease.job, actor=alice, now=later(5))
    assert job_heartbeat(lease=lease, progress=STARTING, now=later(6)) is Answer.CANCEL
    assert job_stop(lease=lease, record=make_record(complete=False), now=later(8))
    job = CalibrationJob.objects.get(pk=lease.job.pk)
    assert (job.state, job.finished_at) == ("cancelled", later(8))
    assert not job.record.content.complete


def test_what_was_done_is_on_the_trail(lease: Lease, make_record: MakeRecord) -> None:
    job_succeed(lease=lease, record=make_record(), now=NOW)
    actions = [event.action for event in Event.objects.filter(organization_id=lease.job.organization_id)[:4]]
    assert actions == [
        "calibration_job_succeeded",
        "calibration_record_create",
        "calibration_job_enqueue",
        "calibration_job_create",
    ]


def newest_event(job: CalibrationJob) -> tuple[str, dict[str, Any]]:
    event = Event.objects.filter(organization_id=job.organization_id)[0]
    return event.action, event.details


class TestReaper:
    def test_a_worker_that_never_beat_is_missed_after_the_lease(self, lease: Lease, sent: Sent) -> None:
        assert lease.job.heartbeat_at is None
        assert jobs_reap(now=later(59)) == Reaped()
        assert jobs_reap(now=later(61)) == Reaped(requeued=1, sent=1)
        job = CalibrationJob.objects.get(pk=lease.job.pk)
        assert (job.state, job.attempts, job.lease_token) == ("queued", 1, None)
        assert newest_event(job) == ("calibration_job_requeue", {"attempt": 1, "worker_id": "host:1 task"})
        assert job.seconds_used(later(500)) == 60  # to the end of the lease

    def test_a_heartbeat_keeps_the_reaper_away(self, lease: Lease) -> None:
        job_heartbeat(lease=lease, progress=STARTING, now=later(50))
        assert jobs_reap(now=later(100)) == Reaped()

    def test_attempts_end(self, queued: CalibrationJob, sent: Sent) -> None:
        now = NOW
        for attempt in (1, 2, 3):
            assert claim(queued, attempt, now) is not None
            now += timedelta(seconds=61)
            jobs_reap(now=now)
        queued.refresh_from_db()
        assert (queued.state, queued.failure_code, queued.attempts) == ("failed", "worker_lost", 3)
        assert "host:1" in queued.failure_message
        assert newest_event(queued) == ("calibration_job_failed", {"attempt": 3, "worker_id": "host:1 task"})
        assert claim(queued, 4, now) is None
        assert queued.seconds_used(now) == 180

    def test_a_cancelled_job_of_a_lost_worker_is_not_started_again(self, lease: Lease, alice: User) -> None:
        job_cancel(job=lease.job, actor=alice, now=later(1))
        assert jobs_reap(now=later(61)) == Reaped(ended=1)
        assert CalibrationJob.objects.get(pk=lease.job.pk).state == JobState.CANCELLED

    def test_a_budget_is_of_all_attempts_together(self, make_job: MakeJob, alice: User) -> None:
        # Two dollars an hour and a cap of twenty cents: six minutes in all, of which a lost worker spent one.
        job = make_job(usd_per_hour=Decimal(2), budget_usd=Decimal("0.20"), max_minutes=6)
        job_enqueue(job=job, actor=alice, now=NOW)
        claim(job)
        jobs_reap(now=later(61))
        second = claim(job, 2, later(70))
        assert second is not None
        assert second.job.longest_seconds == pytest.approx(300)
        job_heartbeat(lease=second, progress=STARTING, now=later(70 + 250))
        assert jobs_reap(now=later(70 + 320)) == Reaped(ended=1)
        job.refresh_from_db()
        assert (job.state, job.failure_code) == ("failed", "budget_spent")

    def test_a_lost_message_is_sent_again_once_in_a_while(
        self, queued: CalibrationJob, sent: Sent, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            assert jobs_reap(now=later(299)) == Reaped()
            assert jobs_reap(now=later(301)) == Reaped(sent=1)
            assert jobs_reap(now=later(302)) == Reaped()
        assert sent == [(queued.pk, 1, "cpu")]

    def test_a_requeued_job_goes_out_as_the_next_attempt(
        self, lease: Lease, sent: Sent, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            jobs_reap(now=later(61))
        assert sent == [(lease.job.pk, 2, "cpu")]

    def test_a_job_given_back_goes_out_with_the_next_pass(
        self, lease: Lease, sent: Sent, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            job_requeue(lease=lease, now=later(5))
            assert newest_event(lease.job)[0] == "calibration_job_requeue"
            assert jobs_reap(now=later(6)) == Reaped(sent=1)
            job_unsend(job_id=lease.job.pk)
            assert jobs_reap(now=later(7)) == Reaped(sent=1)
        assert sent == [(lease.job.pk, 2, "cpu")] * 2
