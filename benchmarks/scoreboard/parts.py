"""The parts of a measurement: each a child process with a time limit, whose lines are kept even if it is cut."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scoreboard.jobs import Job
from benchmarks.scoreboard.roofline import Ceilings, floor
from benchmarks.scoreboard.state import Gpu
from engine.config import ModelShape

ROOT = Path(__file__).parents[2]
LEAST_S = 15.0  # a part with less time than this is not begun
KEPT_OF_ERRORS = 600


class Result:
    """What is known so far; every addition is on disk before the next part begins."""

    def __init__(self, path: Path | None, until: float) -> None:
        self.told: dict[str, Any] = {"complete": False}
        self._path = path
        self._until = until

    @property
    def left_s(self) -> float:
        return self._until - time.monotonic()

    def add(self, **parts: Any) -> None:
        self.told |= parts
        if self._path is not None:
            partial = self._path.with_name(self._path.name + ".partial")
            partial.write_text(json.dumps(self.told, indent=1) + "\n")
            partial.replace(self._path)


class Part(NamedTuple):
    """What a child told: objects it printed a line each, and why it ended early, if it did."""

    lines: list[dict[str, Any]]
    failed: str | None
    s: float
    gpu: dict[str, Any]


class Contender(NamedTuple):
    name: str
    module: str
    python: Path


def contenders(vllm_python: Path | None) -> list[Contender]:
    here, package = Path(sys.executable), "benchmarks.scoreboard.contenders."
    vllm = [Contender("vLLM", package + "vllm", vllm_python)] if vllm_python is not None else []
    return [
        Contender("costadvisor", package + "costadvisor", here),
        *vllm,
        Contender("transformers continuous", package + "transformers_continuous", here),
        Contender("transformers static", package + "transformers_static", here),
    ]


def about(gpu: Gpu) -> dict[str, Any]:
    """The machine, and the tree that is measured."""
    commit = _git("rev-parse", "HEAD")
    return {
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit,
        "dirty": None if commit is None else _git("status", "--porcelain") is not None,
        "gpu": gpu.facts(),
        "cpu_cores": os.cpu_count(),
        "software": {"python": platform.python_version(), **_versions("torch", "triton", "transformers")},
    }


def _git(*arguments: str) -> str | None:
    """What it says of this tree, if anything: it may have come without its history, and the host may have no git."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def _versions(*packages: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def kernel_checks(result: Result, gpu: Gpu, flags: Sequence[str], limit_s: float) -> None:
    part = run([sys.executable, "-m", "benchmarks.scoreboard.kernel_checks", *flags], gpu, result, limit_s)
    wrong = [line for line in part.lines if not line["ok"]]
    told = {"checks": part.lines, "passed": len(part.lines) - len(wrong), "wrong": wrong}
    result.add(kernel_checks=told | _ending(part))


def kernel_speed(result: Result, gpu: Gpu, flags: Sequence[str], limit_s: float) -> None:
    """Each kernel with its share of the ceiling that binds it: whichever of moving and multiplying takes longer."""
    part = run([sys.executable, "-m", "benchmarks.scoreboard.kernel_speed", *flags], gpu, result, limit_s)
    ceilings = part.lines[0]["ceilings"] if part.lines else None
    rows = [_with_roof(row, Ceilings(**ceilings)) for row in part.lines[1:]] if ceilings else []
    result.add(ceilings=ceilings, kernel_speed={"kernels": rows} | _ending(part))


def _with_roof(row: dict[str, Any], ceilings: Ceilings) -> dict[str, Any]:
    if "s" not in row:
        return row
    moving_s, multiplying_s = row["moved_bytes"] / ceilings.bytes_per_s, row["operations"] / ceilings.flops_per_s
    return row | {
        "bound_by": "memory" if moving_s >= multiplying_s else "arithmetic",
        "bytes_per_s": row["moved_bytes"] / row["s"],
        "flops_per_s": row["operations"] / row["s"],
        "roofline_share": max(moving_s, multiplying_s) / row["s"],
    }


def scoreboard(result: Result, gpu: Gpu, job: Job, among: Sequence[Contender], folder: Path, limit_s: float) -> None:
    """A job by each contender in turn; a row stands in the result as soon as it is there."""
    path = folder / "job.json"
    job.write(path)
    rows: list[dict[str, Any]] = []
    told = {"job": job.name, "model": job.model.name, "requests": len(job.lengths), "weights": "dummy",
            "input_tokens": job.input_tokens, "output_tokens": job.output_tokens, "rows": rows}  # fmt: skip
    done = result.told.get("scoreboard", [])
    for contender in among:
        command = [str(contender.python), "-m", contender.module, str(path), "--limit-s", str(limit_s / 2)]
        part = run(command, gpu, result, limit_s)
        row: dict[str, Any] = {"contender": contender.name, **_ending(part)}
        if part.lines and part.failed is None:
            row |= part.lines[-1]
        if "seconds" in row:
            row["output_tokens_per_s"] = row["output_tokens"] / row["seconds"]
            row["roofline_share"] = _roofline_share(result, job, row)
        rows.append(row)
        result.add(scoreboard=[*done, told])


def _roofline_share(result: Result, job: Job, row: dict[str, Any]) -> float | None:
    """The floor of what was run, on the ceilings of this run, over what it took."""
    if not result.told.get("ceilings"):
        return None
    shape = ModelShape.from_folder(job.model)
    kv_bytes = 1 if job.kv_dtype else 2
    least = floor(shape, job.lengths[: row["requests"]], Ceilings(**result.told["ceilings"]), kv_bytes)
    return least.total_s / float(row["seconds"])


def _ending(part: Part) -> dict[str, Any]:
    return {"failed": part.failed, "part_s": round(part.s, 1), "gpu": part.gpu}


def run(command: Sequence[str], gpu: Gpu, result: Result, limit_s: float) -> Part:
    """Start a child and read its lines until it ends or its time, or that of all, is up."""
    limit_s = min(limit_s, result.left_s)
    if limit_s < LEAST_S:
        return Part([], "not begun: the time of the whole run was up", 0.0, {})
    started = time.monotonic()
    errors: list[str] = []
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    try:
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
    except OSError as error:
        return Part([], f"can't be started: {error}", 0.0, {})
    with process as child, gpu.watch() as watch:
        timer = threading.Timer(limit_s, _end, [child])
        reader = threading.Thread(target=errors.extend, args=[child.stderr], daemon=True)
        timer.start()
        reader.start()
        try:
            lines = [line for text in child.stdout or () if (line := _object(text)) is not None]
            code = child.wait()
        finally:
            timer.cancel()
            _end(child)
            reader.join()
    took_s = time.monotonic() - started
    failed = None
    if code == -signal.SIGKILL and took_s >= limit_s:
        failed = f"cut after {limit_s:.0f} s"
    elif code:
        failed = f"exit {code}: " + "".join(errors).strip()[-KEPT_OF_ERRORS:]
    return Part(lines, failed, took_s, gpu.seen(watch))


def _object(text: str) -> dict[str, Any] | None:
    """A line that is a JSON object; libraries print other things, too."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _end(child: subprocess.Popen[str]) -> None:
    """With all that it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
