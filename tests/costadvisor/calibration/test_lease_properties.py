"""Whatever workers, the reaper and people do in whatever order: one holder of a job at a time, and no way back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.accounts.models import User
from costadvisor.calibration.models import UNFINISHED, CalibrationJob, FailureCode
from costadvisor.calibration.progress import STARTING
from costadvisor.calibration.services.jobs import job_cancel, job_enqueue
from costadvisor.calibration.services.leases import (
    Answer,
    Lease,
    job_claim,
    job_fail,
    job_heartbeat,
    job_requeue,
    job_stop,
    jobs_reap,
)
from costadvisor.common.refusal import Refusal

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MakeJob = Callable[..., CalibrationJob]

ALLOWED = {
    ("queued", "running"), ("queued", "cancelled"),
    ("running", "queued"), ("running", "failed"), ("running", "cancelled"),
}  # fmt: skip
# Messages are delivered as often and as late as the broker likes; time passes between any two events.
events = st.tuples(
    st.sampled_from(["deliver", "deliver", "deliver", "beat", "beat", "reap", "fail", "requeue", "stop", "cancel"]),
    st.integers(min_value=0, max_value=3),  # which attempt's message or which lease
    st.sampled_from([0.0, 1.0, 30.0, 61.0]),
)


class World:
    """One job, and every lease that was ever given for it."""

    def __init__(self, job: CalibrationJob, actor: User) -> None:
        self.job, self.actor = job, actor
        self.now = START
        self.leases: list[Lease] = []
        self.delivered_to_a_winner: set[int] = set()

    def happen(self, kind: str, number: int) -> None:
        if kind == "deliver":
            self.deliver(number + 1)
        elif kind == "reap":
            jobs_reap(now=self.now)
        elif kind == "cancel":
            self.cancel()
        elif self.leases:
            self.write(kind, self.leases[number % len(self.leases)])

    def deliver(self, attempt: int) -> None:
        lease = job_claim(job_id=self.job.pk, attempt=attempt, worker_id="w", now=self.now)
        if lease is not None:
            assert attempt not in self.delivered_to_a_winner, "two deliveries of one message both won"
            self.delivered_to_a_winner.add(attempt)
            self.leases.append(lease)

    def cancel(self) -> None:
        try:
            job_cancel(job=self.job, actor=self.actor, now=self.now)
        except Refusal:
            assert self.row["state"] not in UNFINISHED

    def write(self, kind: str, lease: Lease) -> None:
        before = self.row
        mine = before["lease_token"] == lease.token
        writes: dict[str, Callable[[], bool]] = {
            "beat": lambda: job_heartbeat(lease=lease, progress=STARTING, now=self.now) is not Answer.LOST,
            "fail": lambda: job_fail(lease=lease, code=FailureCode.REFUSED, message="no", now=self.now),
            "requeue": lambda: job_requeue(lease=lease, now=self.now),
            "stop": lambda: job_stop(lease=lease, record=None, now=self.now),
        }
        assert writes[kind]() == mine
        if not mine:
            assert self.row == before, "a lease that was lost changed the row"

    @property
    def row(self) -> dict[str, Any]:
        return dict(CalibrationJob.objects.filter(pk=self.job.pk).values().get())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(events, max_size=25))
def test_any_history_keeps_one_holder(make_job: MakeJob, alice: User, history: list[tuple[str, int, float]]) -> None:
    with transaction.atomic():  # rolled back below: each history starts afresh
        job = make_job()
        job_enqueue(job=job, actor=alice, now=START)
        world = World(job, alice)
        for kind, number, wait_s in history:
            before = world.row
            world.now += timedelta(seconds=wait_s)
            world.happen(kind, number)
            after = world.row
            assert (before["state"], after["state"]) in ALLOWED | {(after["state"], after["state"])}
            assert after["attempts"] == len(world.leases) <= after["max_attempts"]
            assert (after["lease_token"] is not None) == (after["state"] == "running")
        transaction.set_rollback(True)


def test_the_property_can_fail(make_job: MakeJob, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that only looks at the state lets a late duplicate run the job twice; the check sees it."""

    def careless(*, job_id: int, **_: Any) -> Lease | None:
        queued = CalibrationJob.objects.filter(pk=job_id, state="queued")
        return Lease(queued.get(), uuid4()) if queued.exists() else None

    monkeypatch.setitem(globals(), "job_claim", careless)
    job = make_job()
    job_enqueue(job=job, actor=alice, now=START)
    world = World(job, alice)
    world.deliver(1)
    with pytest.raises(AssertionError, match="both won"):
        world.deliver(1)
