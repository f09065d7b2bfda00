"""`manage.py demo` with a real worker process; only the engine is a stand-in, which hands out a record at once."""

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.costadvisor.home.demo_record import demo_record

FILES = ("recommendation.pdf", "evaluation.json", "case.json", "calibration.json")
MODEL = "SmolLM2-135M-Instruct"


@pytest.fixture
def demo(installation: Any) -> Any:
    """An installation with the demo's model folder, whose engine hands out a record of it."""
    folder = installation.var / "models" / MODEL
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return installation


def run(demo: Any, behaviour: str = "measure", **record: Any) -> tuple[int, str, str]:
    """Exit code, output and errors of the command with this engine and record."""
    (demo.folder / "record.json").write_text(json.dumps(demo_record(**record)))
    demo.use_fake_engine(behaviour)
    return ended(demo, demo.start("demo"))


def ended(demo: Any, command: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, output and errors; no worker is left."""
    out, errors = command.communicate(timeout=180)
    assert not demo.processes("celery")
    return command.returncode, out, errors


def jobs(demo: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = demo.query("SELECT * FROM calibration_calibrationjob ORDER BY id")
    return found


def test_the_demo_goes_from_the_bill_to_the_pdf_and_again(demo: Any) -> None:
    code, out, errors = run(demo)
    assert (code, errors) == (0, "")
    (job,) = jobs(demo)
    assert (job["state"], job["device"], job["max_minutes"]) == ("succeeded", "cpu", 5)
    evaluation = json.loads((demo.var / "demo" / "evaluation.json").read_text())
    lines = out.splitlines()
    assert evaluation["verdict"]["sentence"] in lines
    assert f"  worker            {job['worker_id']}" in lines
    assert "  tokens processed  12,850" in lines
    assert lines[-1] == "written: " + " ".join(str(demo.var / "demo" / name) for name in FILES)
    assert (demo.var / "demo" / "recommendation.pdf").read_bytes().startswith(b"%PDF")

    code, out, errors = run(demo, id="0b9d5a34-3c5f-4a50-9b8e-0f6f5f1f0c12")
    assert (code, errors) == (0, "")
    assert "bill.csv is imported already" in out
    assert [row["state"] for row in jobs(demo)] == ["succeeded", "succeeded"]
    versions = demo.query("SELECT version, state FROM decisions_recommendation ORDER BY version")
    assert versions == [{"version": 1, "state": "superseded"}, {"version": 2, "state": "draft"}]
    (once,) = demo.query(
        "SELECT (SELECT count(*) FROM accounts_organization) AS organizations, (SELECT count(*) FROM spend_billimport)"
        " AS bills, (SELECT count(*) FROM workloads_workload) AS workloads, (SELECT count(*) FROM decisions_decision)"
        " AS decisions"
    )
    assert set(once.values()) == {1}


def test_a_machine_too_slow_to_finish_is_left_out_and_said_so(demo: Any) -> None:
    code, out, errors = run(demo, "limit", no_rate_because="incomplete")
    assert (code, errors) == (0, "")
    assert jobs(demo)[0]["failure_code"] == "out_of_time"
    assert "So this machine is no option above. This states no rate (no evidence: incomplete)" in out
    case = json.loads((demo.var / "demo" / "case.json").read_text())
    assert [option["id"] for option in case["options"]] == ["today", "alibaba", "h100", "l40s"]


def test_a_calibration_that_fails_leaves_this_machine_out(demo: Any) -> None:
    code, out, errors = run(demo, "refuse")
    assert (code, errors) == (0, "")
    assert (
        "The calibration has no result. The engine refused the request:"
        " --model tiny: no weights; put model.safetensors there\nSo this machine is no option above.\n"
    ) in out
    assert (demo.var / "demo" / "case.json").exists()
    assert not (demo.var / "demo" / "calibration.json").exists()


def begun(demo: Any) -> "subprocess.Popen[str]":
    """The demo in the middle of its calibration."""
    (demo.folder / "record.json").write_text(json.dumps(demo_record()))
    demo.use_fake_engine("wait")
    command: subprocess.Popen[str] = demo.start("demo")
    end = time.monotonic() + 180
    while not ((rows := jobs(demo)) and rows[0]["state"] == "running" and rows[0]["progress_json"]):
        assert time.monotonic() < end, command.communicate(timeout=5)
        time.sleep(0.1)
    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cancels_its_job_and_ends_its_worker(demo: Any, number: int) -> None:
    command = begun(demo)
    os.killpg(command.pid, number)
    code, _, errors = ended(demo, command)
    assert (code, errors) == (
        130,
        "Interrupted. No worker is left, and a calibration that ran is cancelled.\n",
    )
    assert jobs(demo)[0]["state"] == "cancelled"
    assert demo.all_ended()


def test_a_worker_that_dies_ends_the_demo_in_one_line(demo: Any) -> None:
    command = begun(demo)
    (worker,) = demo.processes("celery")
    os.kill(worker, signal.SIGKILL)
    code, _, errors = ended(demo, command)
    assert code == 1
    assert errors.startswith("The worker ended by itself (exit code -9): ")
    assert errors.count("\n") == 1


def test_a_missing_model_is_one_line_before_anything_is_stored(installation: Any) -> None:
    code, out, errors = ended(installation, installation.start("demo"))
    assert (code, out) == (2, "")
    assert errors.startswith(f"The model folder var/models/{MODEL} is missing: `make model` fetches it")
    assert errors.count("\n") == 1
    assert installation.query("SELECT * FROM accounts_user") == []


def test_a_missing_pango_is_one_line_before_anything_is_stored(demo: Any) -> None:
    (demo.folder / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    demo.environment["PYTHONPATH"] += f"{os.pathsep}{demo.folder}"
    code, out, errors = ended(demo, demo.start("demo"))
    assert (code, out) == (2, "")
    assert errors.startswith("a PDF needs Pango, which is missing here (cannot load library libpango-1.0-0); install")
    assert errors.count("\n") == 1
    assert demo.query("SELECT * FROM accounts_user") == []
