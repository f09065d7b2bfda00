"""The record: the same bytes again, nothing half-right accepted, cheap to import."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.protocol import Ask, calibrate
from engine.calibrate.record import Record, record_read
from engine.calibrate.slo import Slo
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.truth import SHAPE, STEP
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig
from engine.errors import InputError

SCHEMA_FILE = Path("docs/calibration.schema.json")
FIRST_FORM = Path(__file__).with_name("record_of_the_first_form.json")


@pytest.fixture(scope="module")
def made() -> tuple[Record, bytes]:
    """A record of a simulated server, and its raw rows."""
    target = SimulatedTarget(SchedulerConfig(max_batch=8, num_blocks=512, max_model_len=4096), STEP.ms)
    ask = Ask(SHAPE, workload_fixed(100, 6), Slo(400, 45), seed=1, max_minutes=1.0)
    measured = calibrate(ask, target, lambda: False, lambda *line: None)
    data, raw = raw_rows(measured, "record.raw.jsonl.gz")
    return record_of(ask, measured, Path("tiny"), dummy_weights=True, raw=raw), data


def test_round_trip_gives_the_same_record_and_bytes(made: tuple[Record, bytes], tmp_path: Path) -> None:
    record, _ = made
    text = record.to_json()
    again = Record.from_json(text)
    assert again == record
    assert again.to_json() == text
    assert again.sha256 == record.sha256
    spaced = json.dumps(json.loads(text), indent=3, sort_keys=False)
    assert Record.from_json(spaced).sha256 == record.sha256, "the identity is the content's, not the file's"
    (tmp_path / "record.json").write_text(spaced)
    assert record_read(tmp_path / "record.json") == record


def test_a_record_cannot_be_changed(made: tuple[Record, bytes]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        made[0].complete = False


def test_raw_rows_lie_beside_it_by_hash(made: tuple[Record, bytes]) -> None:
    record, data = made
    assert record.raw is not None
    assert hashlib.sha256(data).hexdigest() == record.raw.sha256
    header, *rows = (json.loads(line) for line in gzip.decompress(data).splitlines())
    assert len(rows) == record.raw.rows
    steps = [row for row in rows if row[0] == "step"]
    assert {len(row) for row in steps} == {2 + len(header["step"])}
    sampled = 2 + header["step"].index("sampled")
    first = record.levels[0]
    assert sum(row[sampled] for row in steps if row[1] == first.id) >= first.output_tokens


def test_a_record_of_the_first_form_keeps_its_hash() -> None:
    """A real one, of this machine, from before the step model was judged by its median error."""
    record = record_read(FIRST_FORM)
    assert record.sha256 == "8e740fa1e1c8d92890034dcc280a8e865430fdc014a70997af83693457be54d9"
    assert record.to_json() == FIRST_FORM.read_text().strip()
    assert record.grade == ("D", "closed-loop levels only")
    jsonschema.validate(json.loads(record.to_json()), json.loads(SCHEMA_FILE.read_text()))


def test_the_schema_in_docs_is_the_records(made: tuple[Record, bytes]) -> None:
    stored = json.loads(SCHEMA_FILE.read_text())
    assert stored == Record.model_json_schema(by_alias=True), (
        "docs/calibration.schema.json is out of date: python -m engine.calibrate.record > docs/calibration.schema.json"
    )
    jsonschema.validate(json.loads(made[0].to_json()), stored)


def set_at(plain: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    place: Any = plain
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema", "costadvisor.calibration/2", "schema"),
        ("usd_per_hour", 2.5, "usd_per_hour"),
        ("id", "7", "id"),
        ("created_at", "yesterday", "created_at"),
        ("levels.0.output_tokens", -1, "levels.0.output_tokens"),
        ("levels.0.output_tokens", "100", "levels.0.output_tokens"),
        ("levels.0.kv_use_max", 1.5, "levels.0.kv_use_max"),
        ("levels.0.ttft_ms.mean", float("nan"), "levels.0.ttft_ms.mean"),
        ("levels.0.ttft_ms.mean", float("inf"), "levels.0.ttft_ms.mean"),
        ("levels.1.id", "L1", "different ids"),
        ("derived.max_rate.low", 1e9, "derived.max_rate"),
        ("derived.no_rate_because", "void", "derived"),
        ("derived.binding", "luck", "derived.binding"),
        ("hardware.device", "abacus", "hardware.device"),
        ("slo.ttft_p95_ms", 0, "slo.ttft_p95_ms"),
        ("flags", [{"code": "drift", "level": "L99", "value": 1, "limit": 0, "message": ""}], "L99"),
        ("raw.sha256", "abc", "raw.sha256"),
    ],
)
def test_a_wrong_field_is_named(made: tuple[Record, bytes], path: str, value: Any, named: str) -> None:
    plain = json.loads(made[0].to_json())
    set_at(plain, path, value)
    with pytest.raises(InputError) as refusal:
        Record.from_json(json.dumps(plain))
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_field_and_a_file_that_is_none(made: tuple[Record, bytes], tmp_path: Path) -> None:
    plain = json.loads(made[0].to_json())
    del plain["derived"]["saturation"]
    with pytest.raises(InputError, match=r"derived\.saturation"):
        Record.from_json(json.dumps(plain))
    for text in ("", "[]", "{"):
        with pytest.raises(InputError, match="calibration record"):
            Record.from_json(text)
    with pytest.raises(InputError, match="can't be read"):
        record_read(tmp_path / "none.json")


def test_no_money_and_no_paths_in_a_record(made: tuple[Record, bytes]) -> None:
    text = made[0].to_json().lower()
    assert "usd" not in text
    assert "price" not in text
    assert str(Path.cwd()).lower() not in text


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("engine.calibrate.record", ("torch", "numpy", "transformers", "psutil")),
        ("engine.calibrate.simulator", ("torch", "transformers")),
        ("engine.calibrate.__main__", ("torch", "transformers", "kernels", "aiohttp")),
        ("engine.calibrate.client.__main__", ("torch", "transformers", "kernels")),
        ("engine.calibrate.mock.__main__", ("torch", "transformers", "kernels")),
        ("engine.worker", ("torch", "transformers", "kernels")),
    ],
)
def test_importing_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print(*[name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
