"""`benchmarks/gpu.py` on a CPU: every part runs, its result is written, and what is cut or missing is told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest

from benchmarks import gpu
from benchmarks.scoreboard import parts, report
from benchmarks.scoreboard.jobs import JOBS, QUICK, toy
from benchmarks.scoreboard.state import Gpu, summary
from engine.nvml import GpuSample

ROOT = Path(__file__).parents[2]

# Answers as vLLM's offline class does, without computing anything.
VLLM = """
from types import SimpleNamespace as Some

class SamplingParams:
    def __init__(self, *, temperature, max_tokens, ignore_eos, detokenize):
        self.max_tokens = max_tokens

class LLM:
    def __init__(self, *, model, dtype, load_format, max_model_len, enable_prefix_caching, skip_tokenizer_init,
                 generation_config):
        self.llm_engine = Some(vllm_config=Some(cache_config=Some(num_gpu_blocks=7)))
        print("INFO loading, as vLLM does on standard output")

    def generate(self, prompts, params, use_tqdm):
        assert all(prompt["prompt_token_ids"] for prompt in prompts)
        return [Some(outputs=[Some(token_ids=[1] * each.max_tokens)]) for each in params]
"""


def environment_with_vllm(folder: Path) -> Path:
    """A script that starts an interpreter which has `vllm`, as one makes it for an environment of its own."""
    (folder / "vllm.py").write_text(VLLM)
    (folder / "vllm-0.26.0.dist-info").mkdir()
    (folder / "vllm-0.26.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.26.0\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def test_a_dry_run_walks_every_part_and_prints_a_table(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    python = environment_with_vllm(tmp_path)
    relative = os.path.relpath(python, ROOT)  # as the guide has it
    command = ["benchmarks/gpu.py", "--dry-run", "--job", "nano 0.6B", "--vllm-python", relative, "--out", str(out)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text())
    assert told["complete"] is True
    assert told["dry_run"] is True
    assert told["gpu"].keys() == {"missing"}
    assert told["kernel_checks"]["passed"] == len(told["kernel_checks"]["checks"]) > 10
    assert {row["kernel"].split()[0] for row in told["kernel_speed"]["kernels"]} >= {"decode", "prefill", "greedy"}
    [job] = told["scoreboard"]
    assert [row["contender"] for row in job["rows"]] == [
        "costadvisor",
        "vLLM",
        "transformers continuous",
        "transformers static",
    ]
    for row in job["rows"]:
        assert row["failed"] is None
        assert row["output_tokens"] == job["output_tokens"]
        assert row["roofline_share"] > 0
    config = job["rows"][0]["notes"]["config"]
    assert (config["device"], config["operations"]) == ("cuda", "triton"), "the way that is measured on a GPU"
    assert config["graphs"] > 0
    assert job["rows"][1]["software"]["vllm"] == "0.26.0"
    assert "18 of 18 right" in done.stdout
    for name in ("QK-norm + RoPE", "nano 0.6B: Qwen3-0.6B with dummy weights", "transformers static", "mean nothing"):
        assert name in done.stdout


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if Gpu().missing is None:
        pytest.skip("there is a GPU here")
    assert gpu.main([]) == 2
    assert "--dry-run needs none" in capsys.readouterr().err


def test_an_interpreter_that_cannot_be_started_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_text("not a program")
    for name, words in (("nowhere", "nowhere does not exist"), ("notes", "notes is not executable")):
        with pytest.raises(SystemExit, match="2"):
            gpu.main(["--dry-run", "--vllm-python", str(tmp_path / name)])
        assert words in capsys.readouterr().err


def test_a_host_without_git_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    about = parts.about(Gpu())
    assert (about["commit"], about["dirty"]) == (None, None)


def test_a_link_to_an_interpreter_stays_a_link(tmp_path: Path) -> None:
    """A virtual environment is found by where its python lies, not by what that points to."""
    (tmp_path / "python").symlink_to(sys.executable)
    assert gpu._parser().parse_args(["--vllm-python", str(tmp_path / "python")]).vllm_python == tmp_path / "python"


def test_a_program_that_cannot_be_started_is_a_part_that_failed(tmp_path: Path) -> None:
    part = parts.run([str(tmp_path / "gone")], Gpu(), result_so_far(tmp_path), limit_s=60.0)
    assert part.lines == []
    assert "can't be started" in (part.failed or "")
    assert "No such file" in (part.failed or "")


def result_so_far(tmp_path: Path, seconds: float = 300.0) -> parts.Result:
    result = parts.Result(tmp_path / "result.json", until=time.monotonic() + seconds)
    checks = {"checks": [], "passed": 0, "wrong": [], "failed": None}
    result.add(**parts.about(Gpu()), dry_run=True, kernel_checks=checks)
    result.add(ceilings=None, kernel_speed={"kernels": [], "failed": None, "gpu": {}})
    return result


def child(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_lines_of_a_part_that_is_cut_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LEAST_S", 0.0)
    source = "import time; print('{\"n\": 1}', flush=True); print('noise', flush=True); time.sleep(60)"
    started = time.monotonic()
    part = parts.run(child(source), Gpu(), result_so_far(tmp_path, 3.0), limit_s=60.0)
    assert part.lines == [{"n": 1}]
    assert part.failed == "cut after 3 s"
    assert time.monotonic() - started < 30


def test_a_part_is_not_begun_when_the_time_is_up(tmp_path: Path) -> None:
    part = parts.run(child("raise SystemExit(1)"), Gpu(), result_so_far(tmp_path, 1.0), limit_s=60.0)
    assert part.failed == "not begun: the time of the whole run was up"


def test_a_contender_that_fails_leaves_its_reason_and_the_others(tmp_path: Path) -> None:
    result = result_so_far(tmp_path)
    job = toy(QUICK[0], tmp_path)
    (job.model / "config.json").write_text("{}")
    among = [parts.contenders(None)[0]]
    parts.scoreboard(result, Gpu(), job, among, tmp_path, limit_s=60.0)
    told = json.loads((tmp_path / "result.json").read_text())
    [row] = told["scoreboard"][0]["rows"]
    assert "model family 'None' is not supported" in row["failed"]
    assert report.failures(told) == ["nano 0.6B"]
    assert "model family 'None' is not supported" in report.text(told)


def test_what_a_contender_does_not_do_is_told_and_is_no_failure(tmp_path: Path) -> None:
    result = result_so_far(tmp_path)
    [job] = [job for job in JOBS if job.kv_dtype]
    ours, _, static = parts.contenders(None)
    parts.scoreboard(result, Gpu(), toy(job, tmp_path), [ours, static], tmp_path, limit_s=120.0)
    assert report.failures(result.told) == []
    assert result.told["scoreboard"][0]["rows"][0]["notes"]["config"]["kv_dtype"] == "float8_e4m3fn"
    assert "transformers keeps KV in the dtype of its weights here" in report.text(result.told)


def test_other_processes_and_wrong_kernels_stand_out(tmp_path: Path) -> None:
    told: dict[str, Any] = result_so_far(tmp_path).told
    told["gpu"] = {
        "name": "Example",
        "driver": "999",
        "memory_gib": 80.0,
        "memory_free_gib": 79.0,
        "other_processes": 2,
        "power_limit_w": 700.0,
        "sm_clock_max_mhz": 1980,
    }
    wrong = {"check": "decode D64 group 1", "dtype": "bfloat16", "error": 0.5, "tolerance": 0.03, "ok": False}
    told["kernel_checks"] |= {"checks": [wrong], "wrong": [wrong]}
    text = report.text(told)
    assert "WARNING: 2 other processes" in text
    assert "WRONG decode D64 group 1 (bfloat16): error 0.5 over 0.03" in text
    assert report.failures(told) == ["decode D64 group 1"]


def test_clocks_that_were_held_down_are_named() -> None:
    capped, idle = pynvml.nvmlClocksEventReasonSwPowerCap, pynvml.nvmlClocksEventReasonGpuIdle

    def sample(mhz: int | None, temperature_c: int, throttles: int | None) -> GpuSample:
        return GpuSample(0.0, mhz, None, temperature_c, 500_000, throttles, None)

    seen = summary([sample(1980, 60, idle), sample(1500, 61, capped), sample(None, 60, None)])
    assert seen == {
        "samples": 3,
        "sm_clock_mhz": 1740,
        "memory_clock_mhz": None,
        "power_w": 500,
        "temperature_c": 61,
        "throttled_share": pytest.approx(1 / 3),
        "throttled_by": ["SwPowerCap"],
    }


# What the product has besides torch, triton and transformers, and what those bring.
NOT_ON_A_GPU_HOST = (
    "django",
    "celery",
    "pydantic",
    "gguf",
    "llguidance",
    "fastapi",
    "polars",
    "matplotlib",
    "hypothesis",
)


def test_our_engine_and_the_kernels_need_no_other_packages(tmp_path: Path) -> None:
    job = toy(QUICK[0], tmp_path)
    job.write(tmp_path / "job.json")
    hidden = f"import sys; sys.modules |= dict.fromkeys({NOT_ON_A_GPU_HOST!r})"
    module = "benchmarks.scoreboard.contenders.costadvisor"
    source = (
        f"{hidden}; import runpy, benchmarks.gpu, benchmarks.tune, benchmarks.scoreboard.kernel_checks; "
        f"import benchmarks.scoreboard.kernel_speed; sys.argv = ['', {str(tmp_path / 'job.json')!r}]; "
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    done = subprocess.run(child(source), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output_tokens"] == job.output_tokens
