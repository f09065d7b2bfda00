"""The kernels on a real GPU, in a process where Triton compiles instead of interpreting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scoreboard.state import Gpu

ROOT = Path(__file__).parents[2]


def test_every_kernel_agrees_with_the_reference_on_this_gpu() -> None:
    missing = Gpu().missing
    if missing is not None:
        pytest.skip(f"no GPU here ({missing})")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.scoreboard.kernel_checks", "--device", "cuda"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(checks) > 50
    assert [check for check in checks if not check["ok"]] == []
