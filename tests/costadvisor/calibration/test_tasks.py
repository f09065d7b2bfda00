"""The tasks by the names that messages carry, and the reaper as a command and as a loop. Workers: tests/e2e."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from costadvisor.accounts.models import User
from costadvisor.calibration.models import CalibrationJob
from costadvisor.calibration.reaper import reap_until
from costadvisor.calibration.services.jobs import TASK, job_enqueue
from costadvisor.calibration.services.leases import Reaped, job_claim
from costadvisor.celery import app

MakeJob = Callable[..., CalibrationJob]


def test_a_message_of_a_newer_sender_is_understood(make_job: MakeJob, sent: list[Any]) -> None:
    """In a rolling deploy it may carry arguments that this worker does not know."""
    job = make_job()
    app.loader.import_default_modules()
    app.tasks[TASK].apply(kwargs={"job_id": job.pk, "attempt": 1, "priority": 9}, throw=True)
    job.refresh_from_db()
    assert job.state == "draft"  # not queued, so not to be run


def test_the_beat_schedule_names_a_task_that_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


def test_the_command_reaps_once(
    make_job: MakeJob, alice: User, sent: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    long_ago = timezone.now() - timedelta(hours=1)
    job_enqueue(job=job, actor=alice, now=long_ago)
    job_claim(job_id=job.pk, attempt=1, worker_id="gone", now=long_ago)
    call_command("reap_jobs")
    assert capsys.readouterr().out == "requeued 1, ended 0, sent 1\n"
    job.refresh_from_db()
    assert job.state == "queued"


def test_the_loop_outlives_a_database_that_is_away(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CALIBRATION_REAP_EVERY_S = 0.01
    stopped = threading.Event()
    passes: list[None] = []

    def reap(**_: Any) -> Reaped:
        passes.append(None)
        if len(passes) == 3:
            stopped.set()
        raise OperationalError("gone")

    monkeypatch.setattr("costadvisor.calibration.reaper.jobs_reap", reap)
    monkeypatch.setattr(connection, "close", lambda: None)
    reap_until(stopped)
    assert len(passes) == 3
