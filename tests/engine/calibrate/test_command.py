"""The command line and the worker process, as they are started for real."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.calibrate.__main__ import main
from engine.calibrate.level import LevelSpec
from engine.calibrate.record import record_read
from engine.calibrate.simulator import simulate
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets import Stopped, TargetError
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Lengths
from engine.config import EngineOptions, SchedulerConfig
from engine.errors import InputError

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

# A worker on virtual time: the real worker loop around a simulated server.
VIRTUAL = """
import os, sys
from engine.calibrate.simulator import SimulatedBackend
from engine.calibrate.step_model import StepModel
from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.worker import Worker

LIMITS = SchedulerConfig(max_batch=8, num_blocks=512, max_model_len=4096)

class Virtual(SimulatedBackend):
    def describe(self):
        limits = {name: getattr(LIMITS, name) for name in SchedulerConfig.__slots__}
        return {"scheduler": limits, "device": "cpu", "dtype": "float32", "threads": 1}
    def generate(self, prompts, max_tokens):
        return [prompt[:1] * max_tokens for prompt in prompts]

def start(command, interrupted):
    if command["options"]["max_batch"] == 13:
        raise InputError("max_batch 13 brings bad luck; take 12")
    if command["options"]["max_batch"] == 14:
        raise RuntimeError("out of luck")
    if command["options"]["max_batch"] == 15:
        print("a last word", file=sys.stderr, flush=True)
        os._exit(9)
    return Virtual(LIMITS, StepModel(20.0, 26.0, 4.0, 1.5, 0.12, 0.002, 0.00002).ms)

Worker(sys.stdin, sys.stdout, start).serve()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def virtual(max_batch: int = 8) -> EmbeddedTarget:
    return EmbeddedTarget(Path("m"), EngineOptions(max_batch=max_batch), None, command=(sys.executable, "-c", VIRTUAL))


def never() -> bool:
    return False


def gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_level_comes_back_from_the_worker_as_it_was_run() -> None:
    target = virtual()
    try:
        facts = target.start(never)
        assert facts.scheduler == SchedulerConfig(max_batch=8, num_blocks=512, max_model_len=4096)
        assert target.generate([[5, 6], [7]], 2) == [[5, 5], [7, 7]]
        spec = LevelSpec("L1", "step_map", 1, (Lengths(50, 9),), 5.0, 30.0, concurrency=3)
        seen: list[tuple[float, int]] = []
        log = target.run(spec, never, lambda *line: seen.append(line))
        truth = StepModel(20.0, 26.0, 4.0, 1.5, 0.12, 0.002, 0.00002)
        assert log == simulate(facts.scheduler, truth.ms, spec, keep_steps=True)
        assert len(seen) >= 4
        (pid,) = target.pids()
        assert os.getsid(pid) != os.getsid(0), "the worker is in a session of its own"
    finally:
        target.close()
    assert gone(pid)


@pytest.mark.parametrize(
    ("max_batch", "error", "message"),
    [
        (13, InputError, "^max_batch 13 brings bad luck; take 12$"),
        (14, TargetError, "RuntimeError: out of luck"),
        (15, TargetError, "the engine's process ended: a last word"),
    ],
)
def test_a_worker_that_does_not_start(max_batch: int, error: type[Exception], message: str) -> None:
    target = virtual(max_batch)
    with pytest.raises(error, match=message):
        target.start(never)
    target.close()
    assert gone(target.pids()[0])


def test_a_stop_while_the_model_loads() -> None:
    sleeper = EmbeddedTarget(
        Path("m"), EngineOptions(), None, command=(sys.executable, "-c", "import sys; sys.stdin.read()")
    )
    with pytest.raises(Stopped):
        sleeper.start(lambda: True)
    sleeper.close()
    assert gone(sleeper.pids()[0])


def test_the_worker_never_outlives_its_parent() -> None:
    """The parent is killed outright in the middle of a level that would take an hour."""
    parent = textwrap.dedent(
        """
        import sys, threading, time
        from pathlib import Path
        from engine.calibrate.level import LevelSpec
        from engine.calibrate.targets.embedded import EmbeddedTarget
        from engine.calibrate.workload import Lengths
        from engine.config import EngineOptions
        target = EmbeddedTarget(Path("m"), EngineOptions(), None, command=(sys.executable, "-c", sys.argv[1]))
        target.start(lambda: False)
        print(*target.pids(), flush=True)
        spec = LevelSpec("L1", "step_map", 1, (Lengths(50, 9),), 1e6, 1e6, concurrency=3)
        target.run(spec, lambda: False, lambda *line: None)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, VIRTUAL], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    assert psutil.pid_exists(worker)
    process.kill()
    process.communicate()
    assert gone(worker)


# The command with a simulated server that takes a little real time for each level, so that a signal can hit it.
UNHURRIED = """
import sys, time
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
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 3, errors
    assert json.loads(rest.splitlines()[-1])["phase"] == "stopped"
    record = record_read(model.parent / "out.json")
    assert not record.complete
    assert record.derived.no_rate_because == "incomplete"
    assert [level.purpose for level in record.levels][:1] == ["reference"]
    assert record.levels[0].output_tokens > 0
    assert record.raw is not None
    assert sorted(path.name for path in model.parent.glob("out*")) == ["out.json", record.raw.file]


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
    (plus("--tier", "standard"), "--tier standard", "use --tier quick"),
    (plus("--tier", "careful"), "--tier careful", "use --tier quick"),
    (plus("--endpoint", "http://127.0.0.1:1"), "--endpoint", "not built yet"),
    (plus("--resume", "x"), "--resume", "not built yet"),
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


def test_the_embedded_engine_on_a_small_random_model(model: Path) -> None:
    """Everything for real: the child process, torch, the clock."""
    pytest.importorskip("torch", reason="the engine needs torch")
    started = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "engine.calibrate", "--model", str(model), "--dummy-weights"),
            *("--input-tokens", "24", "--output-tokens", "6", "--max-batch", "4", "--dtype", "float32"),
            *("--threads", "1", "--max-minutes", "1", "--out", str(model.parent / "out.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 45
    record = record_read(model.parent / "out.json")
    assert record.complete
    assert record.model.weights == "dummy"
    assert record.engine.threads == 1
    assert record.engine.max_batch == 4
    assert record.smoke is not None
    assert record.smoke.alone_repeats
    assert record.cold_start is not None
    assert record.cold_start.load_s > 0.2, "importing torch alone takes longer"
    assert {level.concurrency for level in record.levels if level.purpose == "step_map"} == {1, 2, 3, 4}
    for level in record.levels:
        assert level.output_tokens > 0
        assert level.client_cpu_share is not None
        assert level.client_cpu_share < 0.1
        assert level.prefix_hit_share == 0
    assert record.workload.mean_input_tokens == 24
    assert record.achieved.mean_output_tokens == 6
    codes = {flag.code for flag in record.flags}
    assert record.derived.step_model is not None or "cpu_contended" in codes, "it was fitted, or others were in the way"
    messages: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert messages[-1]["phase"] == "done"
