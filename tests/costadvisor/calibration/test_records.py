"""Records are checked at the door like any upload, whoever brings them, and never change afterwards."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from costadvisor.accounts.models import Organization, User
from costadvisor.accounts.services import organization_create
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord, Device
from costadvisor.calibration.services.records import (
    MAX_RECORD_BYTES,
    raw_file_keep,
    raw_file_path,
    record_import,
    record_read,
    record_read_of_job,
)
from costadvisor.common.refusal import Refusal
from engine.calibrate.record import Record

MakeJob = Callable[..., CalibrationJob]
MakeRecord = Callable[..., Record]


def changed(record: Record, path: str, value: Any) -> bytes:
    """The record's JSON with one field replaced; `path` has dots."""
    plain = json.loads(record.to_json())
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = plain
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("schema", "costadvisor.calibration/2", "schema"),
        ("derived.max_rate.low", 20.0, "must ascend"),
        ("derived.max_rate", None, "exactly one of"),
        ("levels.0.output_tokens", -1, "levels.0.output_tokens"),
        ("levels.0.output_tokens", "many", "levels.0.output_tokens"),
        ("levels.0.finished", 10**17, "above 1e.15"),
        ("levels.0.window_s", float("nan"), "levels.0.window_s"),
        ("levels.0.window_s", float("inf"), "levels.0.window_s"),
        ("levels.1.id", "L1", "different ids"),
        ("model.name", "", "model.name"),
        ("model.name", "a\0b", "zero byte"),
        ("price_usd", 3, "price_usd"),
        ("flags.0.level", "L9", "L9"),
    ],
)
def test_a_bad_record_is_refused_by_name_and_nothing_is_stored(
    acme: Organization, alice: User, make_record: MakeRecord, path: str, value: Any, complaint: str
) -> None:
    content = changed(make_record(), path, value)
    with pytest.raises(Refusal, match=complaint) as refused:
        record_import(organization=acme, actor=alice, file_name="r.json", content=content)
    assert "\n" not in str(refused.value)
    assert not CalibrationRecord.objects.exists()


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * MAX_RECORD_BYTES + b"{}"]
)
def test_what_is_no_record_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        record_read(content)
    assert len(str(refused.value)) < 300


def test_too_many_levels_are_refused(make_record: MakeRecord) -> None:
    level = json.loads(make_record().to_json())["levels"][0]
    levels = [level | {"id": f"L{number}"} for number in range(201)]
    with pytest.raises(Refusal, match="201 levels"):
        record_read(changed(make_record(), "levels", levels))


def test_an_imported_record_is_stored_once_for_each_organization(
    acme: Organization, alice: User, make_record: MakeRecord
) -> None:
    record = make_record()
    # Spaces and the order of keys make no difference to what a record is.
    content = json.dumps(json.loads(record.to_json()), indent=4).encode()
    stored = record_import(organization=acme, actor=alice, file_name="measured.json", content=content)
    assert stored.sha256 == record.sha256 == hashlib.sha256(stored.canonical_json.encode()).hexdigest()
    assert (stored.grade, stored.device, stored.hardware) == ("B", "cpu", "Example CPU, 2 cores")
    assert stored.tokens_processed == 2 * 5_000 + 1_250 + 1_600
    assert stored.content == record
    with pytest.raises(Refusal, match="stored already"):
        record_import(organization=acme, actor=alice, file_name="again.json", content=content)
    other = organization_create(name="Other", admin=alice)
    assert record_import(organization=other, actor=alice, file_name="r", content=content).sha256 == stored.sha256


def test_a_stored_record_never_changes(acme: Organization, alice: User, make_record: MakeRecord) -> None:
    content = make_record().to_json().encode()
    stored = record_import(organization=acme, actor=alice, file_name="r.json", content=content)
    attempts: list[Callable[[], object]] = [
        stored.save,
        stored.delete,
        lambda: CalibrationRecord.objects.update(grade="A"),
        lambda: CalibrationRecord.objects.all().delete(),
    ]
    for attempt in attempts:
        with pytest.raises(TypeError, match="immutable"):
            attempt()
    assert CalibrationRecord.objects.get().grade == "B"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("slo.ttft_p95_ms", 9_000.0, "latency target is 9000 / 50 ms; 1000 / 50 ms was asked"),
        ("tier", "careful", "tier is careful; quick was asked"),
        ("model.name", "huge", "model is huge; tiny was asked"),
        ("hardware.device", "cuda", "device is cuda; cpu was asked"),
        ("workload.mean_output_tokens", 8.0, "request is 64.00 tokens in, 8.00 out; 64.00 tokens in, 16.00 out was"),
    ],
)
def test_a_worker_must_answer_what_was_asked(
    make_job: MakeJob, make_record: MakeRecord, path: str, value: Any, message: str
) -> None:
    job = make_job()
    assert record_read_of_job(make_record().to_json().encode(), job=job) == make_record()
    with pytest.raises(Refusal, match=message):
        record_read_of_job(changed(make_record(), path, value), job=job)


def test_a_worker_answers_a_mix_by_its_means_and_chooses_the_device_where_it_may(
    make_job: MakeJob, make_record: MakeRecord
) -> None:
    job = make_job(device=Device.AUTO)
    job.lengths = {"mix": [{"input": 32, "output": 8, "weight": 1}, {"input": 80, "output": 20, "weight": 2}]}
    content = changed(make_record(), "hardware.device", "cuda")
    assert record_read_of_job(content, job=job).hardware.device == "cuda"
    job.lengths["mix"][0]["weight"] = 2
    with pytest.raises(Refusal, match=r"56\.00 tokens in, 14\.00 out was asked"):
        record_read_of_job(content, job=job)


def test_the_file_of_rows_is_kept_by_the_hash_that_the_record_names(make_record: MakeRecord, tmp_path: Path) -> None:
    rows = tmp_path / "record.raw.jsonl.gz"
    rows.write_bytes(gzip.compress(b"{}\n"))
    sha256 = hashlib.sha256(rows.read_bytes()).hexdigest()
    record = make_record(raw={"file": rows.name, "sha256": sha256, "rows": 0})
    raw_file_keep(path=rows, record=record)
    assert raw_file_path(sha256).read_bytes() == rows.read_bytes()
    rows.write_bytes(b"something else")
    with pytest.raises(Refusal, match="not the file of rows"):
        raw_file_keep(path=rows, record=record)
    rows.unlink()
    with pytest.raises(Refusal, match="missing"):
        raw_file_keep(path=rows, record=record)
    assert [path.name for path in raw_file_path(sha256).parent.iterdir()] == [f"{sha256}.jsonl.gz"]
