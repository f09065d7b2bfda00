"""`python -m engine.calibrate.ingest`, and what importing it pulls in."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.calibrate.ingest.__main__ import OK, REFUSED, main
from engine.calibrate.record import record_read


def test_a_record_is_written(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(samples / "vllm" / f"rate-{rate}.json") for rate in (8, 16, 24)]
    out = tmp_path / "record.json"
    words = {"gpu": "H100", "gpus": "1", "engine": "vLLM", "engine-version": "0.32.0", "dtype": "bfloat16"}
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
