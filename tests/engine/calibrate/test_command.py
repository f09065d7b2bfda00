"""The command line, as it is started for real."""

import gzip
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate import capacity
from engine.calibrate.__main__ import main
from engine.calibrate.record import Record, record_read
from tests.engine.calibrate.virtual_worker import virtual

CONFIG = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


# The command with a simulated server that takes a little real time for each level, so that a signal can hit it.
UNHURRIED = """
import sys, time
from engine.calibrate import capacity
from engine.calibrate import capacity
from engine.calibrate.__main__ import main
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.config import SchedulerConfig

class Unhurried(SimulatedTarget):
    def run(self, *how):
        time.sleep(0.05)
        return super().run(*how)

capacity.MOST_REQUESTS = capacity.LEAST_REQUESTS = 100
limits = SchedulerConfig(max_batch=8, num_blocks=512, max_model_len=512)
truth = StepModel(20.0, 26.0, 4.0, 1.5, 0.12, 0.002, 0.00002)
sys.exit(main(sys.argv[1:], Unhurried(limits, truth.ms)))
"""


def arguments(model: Path, *more: str) -> list[str]:
    lengths = ["--input-tokens", "60", "--output-tokens", "8", "--max-minutes", "2"]
    return ["--model", str(model), "--dummy-weights", "--out", str(model.parent / "out.json"), *lengths, *more]


def test_sigterm_ends_at_a_safe_point_and_keeps_what_was_measured(model: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", UNHURRIED, *arguments(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["phase"] == "step_map":
            process.send_signal(signal.SIGTERM)
            break
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert json.loads(rest.splitlines()[-1])["phase"] == "stopped"
    record = record_read(model.parent / "out.json")
    assert not record.complete
    assert record.derived.no_rate_because == "incomplete"
    assert [level.purpose for level in record.levels][:1] == ["reference"]
    assert record.levels[0].output_tokens
    assert record.raw is not None
    assert sorted(path.name for path in model.parent.glob("out*")) == ["out.json", "out.json.run", record.raw.file]


def test_a_whole_calibration_of_a_simulated_server(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHURRIED, *arguments(model, "--slo", "llama-3.1-8b-interactive")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all({"phase", "percent", "message"} <= line.keys() for line in lines)
    assert (lines[-1]["phase"], lines[-1]["percent"]) == ("done", 100.0)
    record = record_read(model.parent / "out.json")
    assert lines[-1]["sha256"] == record.sha256
    assert record.slo.preset == "llama-3.1-8b-interactive"
    assert record.derived.max_rate is not None
    assert done.stderr == ""


def test_a_killed_run_goes_on_from_its_last_finished_level(model: Path) -> None:
    """SIGKILL in the middle; the rest of it is measured once and the levels before are the very same."""
    process = subprocess.Popen(
        [sys.executable, "-c", UNHURRIED, *arguments(model, "--tier", "standard")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["phase"] == "verification" and "L16: " in json.loads(line)["message"]:
            process.kill()
            break
    process.communicate(timeout=120)
    folder = model.parent / "out.json.run"
    assert not (model.parent / "out.json").exists()
    before = {path.name: path.read_bytes() for path in folder.glob("L*.json.gz")}
    assert len(before) >= 8
    assert not list(folder.glob("*.partial")), "a file that was cut short would not count, but there is none"

    def again(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", UNHURRIED, *arguments(model, "--tier", "standard", *more)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    refused = again()
    assert refused.returncode == 2
    assert f"--resume {folder}" in refused.stderr
    other = again("--resume", str(folder), "--seed", "9")
    assert other.returncode == 2
    assert "seed was 0 and is now 9" in other.stderr
    done = again("--resume", str(folder))
    assert done.returncode == 0, done.stderr
    record = record_read(model.parent / "out.json")
    assert record.complete
    assert record.resumed == 1
    assert record.derived.sweep is not None
    said = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert not any(message == "L3: 4 at a time" for message in said), "a kept level is not run again"
    assert not folder.exists()


def test_a_full_disk_is_one_clear_error_and_leaves_no_record(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, data: bytes) -> int:
        if self.name.startswith("out.raw"):
            raise OSError(28, "No space left on device")
        return write(self, data)

    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(capacity, "MOST_REQUESTS", 100)
    assert main(arguments(model), target=virtual()) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "out.raw.jsonl.gz can't be written (No space left on device)" in errors
    assert [path.name for path in model.parent.glob("out*")] == ["out.json.run"], (
        "and what was measured can be gone on with"
    )


Change = Callable[[Path], list[str]]


def without(flag: str) -> Change:
    def change(model: Path) -> list[str]:
        given = arguments(model)
        place = given.index(flag)
        return given[:place] + given[place + 2 :]

    return change


def plus(*more: str) -> Change:
    return lambda model: arguments(model, *more)


def other_family(model: Path) -> list[str]:
    (model / "config.json").write_text(json.dumps(CONFIG | {"model_type": "mamba"}))
    return arguments(model)


REFUSED: list[tuple[Change, str, str]] = [
    (without("--model"), "--model DIR", "--endpoint URL"),
    (lambda model: arguments(model, "--out", str(model)), "is a folder", "tiny/record.json"),
    (plus("--resume", "x"), "--resume x", "calibration that was killed"),
    (plus("--max-minutes", "0"), "--max-minutes is 0", "above 0"),
    (plus("--max-minutes", "nan"), "--max-minutes is nan", "above 0"),
    (plus("--seed", "-1"), "--seed is -1", "0 or above"),
    (plus("--threads", "999"), "--threads is 999", "cores"),
    (plus("--slo", "fast"), "--slo 'fast'", "ttft_p95_ms=1000"),
    (plus("--out", "/nowhere/out.json"), "/nowhere", "make it"),
    (plus("--model", "/nowhere/model"), "/nowhere/model", "does not exist"),
    (plus("--model", "m.gguf"), "m.gguf", "engine.gguf"),
    (plus("--workload", "w.json"), "--workload", "--input-tokens"),
    (without("--input-tokens"), "--input-tokens", "--output-tokens"),
    (plus("--input-tokens", "0"), "input_tokens is 0", "at least 1"),
    (plus("--input-tokens", "600"), "512 tokens", "shorter workload"),
    (other_family, "'mamba'", "llama"),
]


@pytest.mark.parametrize(("change", "named", "right"), REFUSED)
def test_refusals_are_one_clear_line_and_leave_nothing_behind(
    change: Change, named: str, right: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(change(model), target=virtual()) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("error: ")
    assert named in shown.err
    assert right in shown.err
    assert not list(model.parent.glob("out*"))


def test_the_engines_own_refusal_is_passed_on(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(model), target=virtual(13)) == 2
    assert capsys.readouterr().err == "error: max_batch 13 brings bad luck; take 12\n"
    assert main(arguments(model), target=virtual(14)) == 1
    assert "out of luck" in capsys.readouterr().err
    assert not list(model.parent.glob("out*"))


def embedded(model: Path, *more: str) -> list[str]:
    """Everything for real: the child process, torch, the clock."""
    return [
        *(sys.executable, "-m", "engine.calibrate", "--model", str(model), "--dummy-weights"),
        *("--input-tokens", "24", "--output-tokens", "6", "--max-batch", "4", "--dtype", "float32"),
        *("--threads", "1", "--max-minutes", "1", "--out", str(model.parent / "out.json"), *more),
    ]


def test_the_embedded_engine_killed_half_way_and_gone_on_with(model: Path) -> None:
    """On a small random model. SIGKILL, to the command and so to its engine; then the rest, and no level twice."""
    pytest.importorskip("torch", reason="the engine needs torch")
    folder = model.parent / "out.json.run"
    with subprocess.Popen(embedded(model), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["message"].startswith("L4: "):
                process.kill()
                break
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(kept) == ["L1.json.gz", "L2.json.gz", "L3.json.gz", "ask.json", "opening.json"]
    assert not (model.parent / "out.json").exists()
    started = time.monotonic()
    done = subprocess.run(embedded(model, "--resume", str(folder)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 45
    messages: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    ran = {
        line["message"] for line in messages if " at a time" in line["message"] and "tokens/s" not in line["message"]
    }
    assert not any(message.startswith(("L1:", "L2:", "L3:")) for message in ran), "what is kept is not measured again"
    assert any(message.startswith("L4:") for message in ran)
    record = record_read(model.parent / "out.json")
    _is_as_if_it_had_not_been_killed(record, kept)
    assert messages[-1]["phase"] == "done"
    assert not folder.exists()


def _is_as_if_it_had_not_been_killed(record: Record, kept: dict[str, bytes]) -> None:
    assert record.complete
    assert record.resumed == 1
    ids = [level.id for level in record.levels]
    assert ids == [f"L{number}" for number in range(1, len(ids) + 1)]
    for level in record.levels[:3]:
        before = json.loads(gzip.decompress(kept[f"{level.id}.json.gz"]))
        assert (level.seed, level.concurrency) == (before["spec"]["seed"], before["spec"]["concurrency"])
        assert level.steps == len(before["log"]["steps"])
        assert level.duration_s == before["log"]["duration_s"]
        assert level.started_at_s == before["started_at_s"]
    opening = json.loads(kept["opening.json"])
    assert record.cold_start is not None
    assert record.cold_start.seconds == opening["cold_start"]["seconds"], "of the first start, not of the second"
    assert record.levels[0].purpose == "reference"
    assert record.levels[-1].purpose == "reference_again"
    assert record.model.weights == "dummy"
    assert record.engine.threads == 1
    assert record.engine.max_batch == 4
    assert record.smoke is not None
    assert record.smoke.alone_repeats
    assert record.cold_start.load_s > 0.2, "importing torch alone takes longer"
    assert {level.concurrency for level in record.levels if level.purpose == "step_map"} == {1, 2, 3, 4}
    for level in record.levels:
        assert level.output_tokens
        assert level.prefix_hit_share == 0
    shares = [level.client_cpu_share for level in record.levels if level.client_cpu_share is not None]
    assert len(shares) == len(record.levels)
    assert statistics.median(shares) < 0.1, "others on the machine make a single one longer; the clock ticks in 10 ms"
    assert record.workload.mean_input_tokens == 24
    assert record.achieved.mean_output_tokens == 6
    codes = {flag.code for flag in record.flags}
    assert record.derived.step_model is not None or "cpu_contended" in codes, "it was fitted, or others were in the way"
