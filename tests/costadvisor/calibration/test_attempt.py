"""One attempt, with a program in the engine's place: what is written down for each way in which it can end."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from costadvisor.accounts.models import User
from costadvisor.calibration.attempt import attempt_run, shutting_down
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord
from costadvisor.calibration.services.jobs import job_cancel, job_enqueue
from costadvisor.calibration.services.leases import Answer, job_heartbeat, jobs_reap
from engine.calibrate.record import Record

FAKE = Path(__file__).parent / "fake_engine.py"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MakeJob = Callable[..., CalibrationJob]
MakeRecord = Callable[..., Record]
Behave = Callable[[str], None]


@pytest.fixture
def behave(settings: Any, folders: Path, make_record: MakeRecord) -> Behave:
    """Puts a program in the engine's place that hands out a record, or behaves otherwise."""
    settings.CALIBRATION_HEARTBEAT_S = 0.2
    handed_out = folders / "handed-out.json"
    handed_out.write_text(make_record().to_json())

    def set_behaviour(behaviour: str) -> None:
        settings.CALIBRATION_COMMAND = [sys.executable, str(FAKE), behaviour, str(handed_out)]

    return set_behaviour


@pytest.fixture
def job(make_job: MakeJob, alice: User, sent: list[Any]) -> CalibrationJob:
    job = make_job()
    job_enqueue(job=job, actor=alice, now=NOW)
    return job


def run(job: CalibrationJob, attempt: int = 1) -> bool:
    ran = attempt_run(job_id=job.pk, attempt=attempt, worker_id="host:1 task")
    job.refresh_from_db()
    return ran


def test_a_measured_job_has_its_record_and_leaves_nothing_behind(
    job: CalibrationJob, behave: Behave, folders: Path, make_record: MakeRecord
) -> None:
    behave("measure")
    (folders / "calibration" / "attempts" / f"{job.pk}-0").mkdir(parents=True)  # what a killed worker left
    assert run(job)
    assert (job.state, job.attempts, job.worker_id) == ("succeeded", 1, "host:1 task")
    assert job.record.content == make_record()
    assert job.finished_at is not None
    assert list((folders / "calibration" / "attempts").iterdir()) == []


def test_a_duplicate_message_runs_nothing(job: CalibrationJob, behave: Behave) -> None:
    behave("measure")
    assert run(job)
    behave("crash")
    assert not run(job)
    assert job.state == "succeeded"


@pytest.mark.parametrize(
    ("behaviour", "code", "words", "keeps_record"),
    [
        ("refuse", "refused", "--model tiny: no weights; put model.safetensors there", False),
        ("crash", "engine_failed", "the engine failed: RuntimeError: out of memory", False),
        ("die", "engine_failed", "may have run out of memory", False),
        ("garbage", "bad_record", "no calibration record that we can read", False),
        ("nothing", "bad_record", "ended without a record", False),
        ("limit", "out_of_time", "5 minutes were not enough", True),
    ],
)
def test_each_way_to_fail_has_its_code_and_words(
    job: CalibrationJob, behave: Behave, behaviour: str, code: str, words: str, keeps_record: bool
) -> None:
    behave(behaviour)
    assert run(job)
    assert (job.state, job.failure_code) == ("failed", code)
    assert words in job.failure_message
    assert [record.content.complete for record in CalibrationRecord.objects.all()] == [False] * keeps_record


def test_an_answer_to_another_question_is_no_record(make_job: MakeJob, alice: User, behave: Behave) -> None:
    behave("measure")
    job = make_job()
    CalibrationJob.objects.filter(pk=job.pk).update(tpot_p95_ms=30.0)
    job_enqueue(job=job, actor=alice, now=NOW)
    assert run(job)
    assert (job.failure_code, CalibrationRecord.objects.count()) == ("bad_record", 0)
    assert "1000 / 30 ms was asked" in job.failure_message


def test_a_model_that_is_gone_is_named(job: CalibrationJob, behave: Behave, settings: Any) -> None:
    settings.CALIBRATION_MODELS = []
    assert run(job)
    assert job.failure_code == "model_missing"
    assert "tiny" in job.failure_message


def test_progress_is_stored_while_it_runs_and_a_cancellation_is_obeyed(
    job: CalibrationJob, alice: User, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave("wait")
    beats: list[Any] = []

    def beat(**arguments: Any) -> Answer:
        beats.append(arguments["progress"])
        if len(beats) == 4:
            job_cancel(job=job, actor=alice, now=NOW)
        return job_heartbeat(**arguments)

    monkeypatch.setattr("costadvisor.calibration.attempt.job_heartbeat", beat)
    assert run(job)
    assert (job.state, job.cancel_requested) == ("cancelled", True)
    assert not job.record.content.complete
    progress = job.progress
    assert progress is not None
    assert (progress.phase, progress.percent, progress.output_tokens_per_s) == ("step_map", 40, 250.5)


def test_a_lost_lease_ends_the_engine_and_writes_nothing(
    job: CalibrationJob, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave("wait")

    def beat(**arguments: Any) -> Answer:
        jobs_reap(now=datetime.max.replace(tzinfo=UTC))
        return job_heartbeat(**arguments)

    monkeypatch.setattr("costadvisor.calibration.attempt.job_heartbeat", beat)
    assert run(job)
    assert (job.state, job.attempts) == ("queued", 1)
    assert not CalibrationRecord.objects.exists()


def test_a_database_that_is_away_is_waited_for_as_long_as_the_lease(
    job: CalibrationJob, behave: Behave, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave("wait")
    settings.CALIBRATION_LEASE_S = 1
    beats: list[None] = []

    def beat(**_: Any) -> Answer:
        beats.append(None)
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("costadvisor.calibration.attempt.job_heartbeat", beat)
    monkeypatch.setattr(connection, "close", lambda: None)  # it holds the test's transaction
    assert run(job)
    assert len(beats) > 1
    assert job.state == "running"  # until the reaper finds it


@pytest.fixture
def shut_down_when_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tells this very process, as a worker, to end as soon as it starts an engine."""

    def command(*_: Any) -> list[str]:
        shutting_down.set()
        return ["sleep", "60"]

    monkeypatch.setattr("costadvisor.calibration.attempt._command", command)
    yield
    shutting_down.clear()


def test_a_worker_that_is_shut_down_gives_the_job_back_and_takes_no_other(
    job: CalibrationJob, shut_down_when_started: None
) -> None:
    assert run(job)
    assert (job.state, job.attempts, job.sent_at) == ("queued", 1, None)
    CalibrationJob.objects.update(sent_at=NOW)
    assert not run(job, attempt=2)
    assert (job.state, job.attempts, job.sent_at) == ("queued", 1, None)


def test_an_error_of_ours_fails_the_job_and_is_raised(
    job: CalibrationJob, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave("measure")
    monkeypatch.setattr("costadvisor.calibration.attempt.supervise", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(job)
    job.refresh_from_db()
    assert (job.state, job.failure_code) == ("failed", "internal")


def test_the_engine_gets_no_secrets(
    job: CalibrationJob, behave: Behave, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "BROKER_URL", "HF_TOKEN"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    behave("environment")
    assert run(job)
    environment = json.loads((folders / "environment.json").read_text())
    assert "a secret" not in environment.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
