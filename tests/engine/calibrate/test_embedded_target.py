"""The engine as a child process: started, run, stopped, and never left behind."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from engine.calibrate.level import LevelSpec
from engine.calibrate.simulator import simulate
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets import Stopped, TargetError
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Lengths
from engine.config import EngineOptions, SchedulerConfig
from engine.errors import InputError
from tests.engine.calibrate.virtual_worker import VIRTUAL, virtual


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
        assert (facts.dtype, facts.kv_dtype, facts.quantization) == ("bfloat16", "float8_e4m3fn", "int8")
        assert target.generate([[5, 6], [7]], 2) == [[5, 5], [7, 7]]
        spec = LevelSpec("L1", "step_map", 1, (Lengths(50, 9),), 5.0, 30.0, concurrency=3)
        seen: list[tuple[float, int]] = []
        log = target.run(spec, never, lambda *line: seen.append(line))
        truth = StepModel(20.0, 26.0, 4.0, 1.5, 0.12, 0.002, 0.00002)
        assert log == simulate(facts.limits, truth.ms, spec, keep_steps=True)
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
