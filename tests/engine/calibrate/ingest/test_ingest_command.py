"""`python -m engine.calibrate.ingest`, and what importing it pulls in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.calibrate.ingest.__main__ import OK, REFUSED, main
from engine.calibrate.plot import main as plot
from engine.calibrate.record import record_read
from engine.calibrate.scale import main as scale


def test_a_record_is_written(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(samples / "vllm" / f"rate-{rate}.json") for rate in (8, 16, 24)]
    out = tmp_path / "record.json"
    words = {"gpu": "H100 SXM", "gpus": "1", "engine": "vLLM", "engine-version": "0.32.0", "dtype": "bfloat16"}
    words |= {"prefix-cache": "on", "speculative": "off", "slo": "chat", "out": str(out)}
    assert main([*files, *(f"--{name}={word}" for name, word in words.items())]) == OK
    record = record_read(out)
    assert (record.engine.prefix_cache, record.engine.speculative, record.slo.preset) == (True, False, "chat")
    assert (record.software.engine, record.software.engine_version) == ("vLLM", "0.32.0")
    printed = capsys.readouterr().out
    assert printed.startswith("3 levels of vLLM bench serve: ")
    assert "grade C: imported" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_refusal_is_one_line_and_writes_nothing(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    assert main([str(samples / "vllm" / "rate-8.json"), "--out", str(out)]) == REFUSED
    assert capsys.readouterr().err == "error: the file does not say what was measured; give --gpu, --gpus\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "out", "says"),
    [("none.json", "record.json", "none.json can't be read"), (None, "no/record.json", "can't be written")],
)
def test_files_that_are_not_there(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str | None, out: str, says: str
) -> None:
    source = samples / "vllm" / "rate-8.json" if file is None else tmp_path / file
    assert main([str(source), "--out", str(tmp_path / out), "--gpu", "cpu"]) == REFUSED
    assert says in capsys.readouterr().err


def test_the_web_app_can_import_it() -> None:
    code = (
        "import sys, engine.calibrate.ingest; "
        "heavy = {'torch', 'transformers', 'kernels', 'django', 'costadvisor'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.fixture
def p99_only(samples: Path, tmp_path: Path) -> Path:
    """The record of vLLM's default: a mean, a median and a p99 of each run, no p95, and no list of requests."""
    real = json.loads((samples / "vllm" / "rate-8.json").read_text())
    few = {name: value for name, value in real.items() if not name.startswith(("p90_", "p95_"))}
    few = {name: value for name, value in few.items() if not isinstance(value, list)}
    (tmp_path / "run.json").write_text(json.dumps(few | {"completed": 400}))
    words = ["--gpu", "H100 SXM", "--gpus", "1", "--out", str(tmp_path / "record.json")]
    assert main([str(tmp_path / "run.json"), *words]) == OK
    return tmp_path / "record.json"


def test_what_a_file_with_p99_alone_can_not_be_used_for_is_said_with_what_would_do(
    p99_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that lacks, at once: the benchmark may have to be run again."""
    record = record_read(p99_only)
    assert record.derived.max_rate is not None
    assert any("its p99, which lies no lower, stands in" in flag.message for flag in record.flags)
    capsys.readouterr()
    assert plot([str(p99_only)]) == REFUSED
    error = capsys.readouterr().err
    assert "its open-loop levels have no p95" in error
    assert "--metric-percentiles 50,95,99" in error
    assert scale([str(p99_only), "--to", "L40S", "--out", str(tmp_path / "scaled.json")]) == REFUSED
    error = capsys.readouterr().err
    assert all(hint in error for hint in ("--metric-percentiles 50,95,99", "with --dtype", "give --model DIR"))
    assert error.count("\n") == 1
