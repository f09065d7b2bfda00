"""Calibrations through real worker processes, the filesystem broker, a SQLite file and the real engine."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest


def at_work(row: dict[str, Any]) -> bool:
    """In the middle: levels are being measured."""
    return row["state"] == "running" and bool(row["progress"]) and row["progress"]["phase"] in ("reference", "step_map")


def ended(row: dict[str, Any]) -> bool:
    return row["state"] in ("succeeded", "failed", "cancelled")


def test_a_job_is_measured_end_to_end(installation: Any, job: int) -> None:
    worker = installation.start_worker()
    middle = installation.wait_for(job, at_work)
    assert 0 < middle["progress"]["percent"] < 100
    assert middle["heartbeat_at"] is not None
    row = installation.wait_for(job, ended)
    assert (row["state"], row["attempts"], row["failure_message"]) == ("succeeded", 1, "")
    assert f":{worker.pid} " in row["worker_id"]
    (record,) = installation.query("SELECT * FROM calibration_calibrationrecord WHERE job_id = ?", job)
    assert record["tokens_processed"] > 1000
    assert (record["device"], record["model_name"]) == ("cpu", "tiny")
    assert '"complete":true' in record["canonical_json"]
    assert len(list((installation.var / "calibration" / "raw").iterdir())) == 1
    assert list((installation.var / "calibration" / "attempts").iterdir()) == []
    assert installation.all_ended("engine.")


def test_a_killed_worker_takes_its_engine_along_and_the_next_one_measures_again(installation: Any, job: int) -> None:
    worker = installation.start_worker(pool="prefork")
    installation.wait_for(job, at_work)
    assert installation.processes("engine.calibrate")
    assert installation.processes("engine.worker")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert installation.all_ended()
    assert installation.row(job)["state"] == "running"  # nobody is left to say otherwise
    successor = installation.start_worker()
    row = installation.wait_for(job, ended)
    assert (row["state"], row["attempts"], row["failure_message"]) == ("succeeded", 2, "")
    assert f":{successor.pid} " in row["worker_id"]
    assert row["earlier_seconds"] > 0
    (record,) = installation.query("SELECT * FROM calibration_calibrationrecord")
    assert record["job_id"] == job


def test_a_calibration_whose_standard_input_closes_ends_at_once_with_its_engine(installation: Any) -> None:
    """Whatever it is doing: here nobody reads its output, so it could not notice otherwise."""
    told = installation.folder / "progress"
    command = [sys.executable, "-m", "engine.calibrate", f"--model={installation.var / 'models' / 'tiny'}"]
    command += ["--input-tokens=32", "--output-tokens=8", f"--out={installation.folder / 'r.json'}", "--end-with-stdin"]
    with told.open("wb") as output:
        calibration = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=installation.environment
        )
    assert calibration.stdin is not None
    end = time.monotonic() + 120
    while "reference" not in told.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert installation.processes("engine.worker"), told.read_text()
    calibration.stdin.close()
    assert calibration.wait(timeout=10) == 3
    assert installation.all_ended(within_s=10)
    assert not (installation.folder / "r.json").exists()


def test_a_cancelled_job_ends_its_engine_and_keeps_what_was_measured(installation: Any, job: int) -> None:
    installation.start_worker()
    installation.wait_for(job, at_work)
    installation.operate("cancel", str(job))
    row = installation.wait_for(job, ended)
    assert (row["state"], row["failure_code"]) == ("cancelled", "")
    assert installation.all_ended("engine.")
    (record,) = installation.query("SELECT * FROM calibration_calibrationrecord")
    assert '"complete":false' in record["canonical_json"]


def test_a_worker_told_to_end_gives_its_job_back(installation: Any, job: int) -> None:
    worker = installation.start_worker()
    installation.wait_for(job, at_work)
    worker.terminate()
    assert worker.wait(timeout=60) == 0
    row = installation.row(job)
    assert (row["state"], row["attempts"], row["lease_token"]) == ("queued", 1, None)
    assert installation.all_ended()


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_message_delivered_again_and_again_runs_once(installation: Any, job: int, pool: str) -> None:
    messages = installation.var / "broker" / "messages"
    (message,) = messages.glob("*.cpu.msg")
    for copy in range(3):
        (messages / f"{copy}_{message.name}").write_bytes(message.read_bytes())
    installation.start_worker(pool=pool, fake_engine="refuse")
    installation.wait_for(job, ended)
    for _ in range(100):
        if not list(messages.glob("*.cpu.msg")):
            break
        time.sleep(0.1)
    time.sleep(1)  # for the last one to be worked on
    assert list(messages.glob("*.cpu.msg")) == []
    assert installation.log.read_text().count("Task calibration_run[") >= 4  # received
    assert (installation.folder / "runs").read_text() == "refuse\n"
    assert installation.row(job)["attempts"] == 1


def test_a_message_that_the_broker_lost_is_sent_again(installation: Any, job: int) -> None:
    for message in (installation.var / "broker" / "messages").glob("*.cpu.msg"):
        message.unlink()
    installation.start_worker(fake_engine="refuse")
    row = installation.wait_for(job, ended)
    assert row["failure_code"] == "refused"
    assert row["failure_message"] == "--model tiny: no weights; put model.safetensors there"
