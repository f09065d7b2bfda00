"""A record as a file to give away: its hash is the file's, and nothing in it says where it was made."""

import getpass
import hashlib
import json
import socket
from pathlib import Path

import pytest

from engine.calibrate.preflight import cpu_facts, model_facts, software_facts, source_facts
from engine.calibrate.record import Record, record_read
from engine.calibrate.share import main, private_texts
from engine.config import ModelShape
from tests.engine.calibrate.gpu_record import QWEN, changed, made


@pytest.fixture
def record() -> Record:
    return made()[0]


def test_the_files_hash_is_the_records(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, shared = tmp_path / "r.json", tmp_path / "shared.json"
    source.write_text(json.dumps(json.loads(record.to_json()), indent=2))
    assert main([str(source), "--out", str(shared)]) == 0
    assert capsys.readouterr().out == f"{record.sha256}  {shared}\n"
    assert hashlib.sha256(shared.read_bytes()).hexdigest() == record.sha256
    assert record_read(shared) == record
    assert main([str(shared), "--verify", record.sha256]) == 0
    assert main([str(source), "--verify", record.sha256]) == 0, "the content's hash, however it is laid out"


def test_another_record_or_no_hash_is_refused(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.json"
    file.write_text(changed(record, seed=7).to_json())
    assert main([str(file), "--verify", record.sha256]) == 2
    assert "holds another record: its hash is" in capsys.readouterr().err
    assert main([str(file), "--verify", "abc"]) == 2
    assert "64 of 0-9 and a-f" in capsys.readouterr().err


def test_a_record_of_this_machine_names_no_host_user_or_folder(record: Record, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text((QWEN / "config.json").read_text())
    shape = ModelShape.from_folder(folder)
    parts = {
        "hardware": {"device": "cpu", "cpu": cpu_facts().model_dump(), "gpus": []},
        "software": software_facts("cpu", "native").model_dump(),
        "source": source_facts().model_dump(),
        "model": model_facts(folder, shape, "float32", "float32", None, dummy=False).model_dump(),
    }
    here = changed(record, **parts)
    assert private_texts(here) == []
    text = here.to_json()
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd()), str(tmp_path), getpass.getuser()):
        assert json.dumps(private)[1:-1] not in text


@pytest.mark.parametrize(
    "text",
    ["/home/ann/models/qwen", "C:\\models\\qwen", "~/qwen/a", "../runs/qwen", "ann@example.org", "http://10.0.0.7"],
)
def test_a_place_is_found_and_not_written(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file, out = tmp_path / "r.json", tmp_path / "o.json"
    file.write_text(changed(record, model={"revision": text}).to_json())
    assert main([str(file), "--out", str(out)]) == 2
    assert "nobody else's business" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("text", ["Qwen/Qwen3-8B", "requests/s", "costadvisor.calibration/1", "1.5", "7 of 8 tokens/s"])
def test_names_are_no_places(record: Record, text: str) -> None:
    assert private_texts(changed(record, model={"name": text})) == []
