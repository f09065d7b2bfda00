"""Stores calibration records, from workers and from files alike, after the same checks."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.calibration.model_folders import model_folders
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord, Device
from costadvisor.calibration.record_facts import hardware_name, tokens_processed
from costadvisor.common.refusal import Refusal
from engine.calibrate.record import Record
from engine.errors import InputError

MAX_RECORD_BYTES = 4 * 2**20
MAX_RAW_BYTES = 512 * 2**20
MOST_LEVELS = 200
LARGEST_NUMBER = 1e15


def record_read(content: bytes) -> Record:
    """Checks size, schema and ranges; raises Refusal naming the first thing that is wrong."""
    if not content.strip():
        raise Refusal("The file is empty.", field="file")
    if len(content) > MAX_RECORD_BYTES:
        raise Refusal(f"The record is larger than {MAX_RECORD_BYTES // 2**20} MiB.", field="file")
    try:
        record = Record.from_json(content)
    except InputError as error:
        raise Refusal(f"This is no calibration record that we can read: {error}.", field="file") from error
    _check_ranges(record)
    return record


def record_read_of_job(content: bytes, *, job: CalibrationJob) -> Record:
    """A worker's record, which must answer what the job asked. Raises Refusal otherwise."""
    record = record_read(content)
    for what, found, asked in _answers(record, job):
        if found != asked:
            raise Refusal(f"The record's {what} is {found}; {asked} was asked.")
    return record


@transaction.atomic
def record_import(*, organization: Organization, actor: User, file_name: str, content: bytes) -> CalibrationRecord:
    """A record that was measured elsewhere. Raises Refusal for a bad one, and for one that is stored already."""
    record = record_read(content)
    if CalibrationRecord.objects.filter(organization=organization, sha256=record.sha256).exists():
        raise Refusal("This very record is stored already.", field="file")
    return record_create(organization=organization, record=record, actor=actor, file_name=file_name[:255])


@transaction.atomic
def record_create(
    *,
    organization: Organization,
    record: Record,
    job: CalibrationJob | None = None,
    actor: User | None = None,
    file_name: str = "",
) -> CalibrationRecord:
    """Stores a checked record: of a job, or of a file that somebody imported."""
    rate = record.derived.max_rate
    stored = CalibrationRecord.objects.create(
        organization=organization,
        created_by=actor,
        job=job,
        file_name=file_name,
        sha256=record.sha256,
        canonical_json=record.to_json(),
        grade=record.grade.letter or "",
        device=record.hardware.device,
        hardware=hardware_name(record)[:250],
        model_name=record.model.name,
        tokens_processed=tokens_processed(record),
        requests_per_s=rate.requests_per_s if rate else None,
        requests_per_s_low=rate.low if rate else None,
        requests_per_s_high=rate.high if rate else None,
    )
    event_record(
        action="calibration_record_create",
        object_kind="calibration_record",
        object_id=stored.pk,
        organization_id=organization.pk,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"sha256": stored.sha256, "file_name": file_name, "job_id": job.pk if job else None},
    )
    return stored


def raw_file_keep(*, path: Path, record: Record) -> None:
    """Keeps a record's file of rows by its hash. Raises Refusal if it is not the file that the record names."""
    if record.raw is None:
        return
    if not path.is_file() or path.stat().st_size > MAX_RAW_BYTES:
        raise Refusal(f"The record's file of rows, {record.raw.file}, is missing or too large.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != record.raw.sha256:
        raise Refusal(f"{record.raw.file} is not the file of rows that the record names.")
    kept = raw_file_path(record.raw.sha256)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(f".{uuid4().hex}")
    shutil.copyfile(path, partial)
    partial.replace(kept)


def raw_file_path(sha256: str) -> Path:
    """Where a file of rows is kept, if it is."""
    return Path(settings.CALIBRATION_DIR) / "raw" / f"{sha256}.jsonl.gz"


def _answers(record: Record, job: CalibrationJob) -> Iterator[tuple[str, str, str]]:
    """What the record says and what the job asked, by name."""
    slo, workload = record.slo, record.workload
    yield "tier", record.tier or "none", job.tier
    yield "latency target", _limits(slo.ttft_p95_ms, slo.tpot_p95_ms), _limits(job.ttft_p95_ms, job.tpot_p95_ms)
    yield "model", record.model.name, _model_name(job)
    if job.device != Device.AUTO:
        yield "device", record.hardware.device, job.device
    asked = job.lengths.get("prefix_hit_share", 0)
    yield "share of shared prompt", f"{workload.prefix_hit_share:.6g}", f"{asked:.6g}"
    yield "mean request", _lengths(workload.mean_input_tokens, workload.mean_output_tokens), _lengths(*_mean(job))


def _limits(ttft_p95_ms: float, tpot_p95_ms: float) -> str:
    return f"{ttft_p95_ms:.10g} / {tpot_p95_ms:.10g} ms"


def _lengths(input_tokens: float, output_tokens: float) -> str:
    return f"{input_tokens:.2f} tokens in, {output_tokens:.2f} out"


def _model_name(job: CalibrationJob) -> str:
    """As the engine names it: a folder that is a link goes by what it links to."""
    folder = model_folders().get(job.model_name)
    return folder.resolve().name if folder else job.model_name


def _mean(job: CalibrationJob) -> tuple[float, float]:
    """Input and output tokens of the mean request; without a mix, the engine sends whole tokens."""
    if "mix" not in job.lengths:
        return round(job.lengths["input_tokens"]["mean"]), round(job.lengths["output_tokens"]["mean"])
    mix = job.lengths["mix"]
    total = sum(pair["weight"] for pair in mix)
    means = [sum(pair[kind] * pair["weight"] for pair in mix) / total for kind in ("input", "output")]
    return means[0], means[1]


def _check_ranges(record: Record) -> None:
    """What the schema leaves open and a database or a page cannot hold."""
    if len(record.levels) > MOST_LEVELS:
        raise Refusal(f"The record has {len(record.levels)} levels; at most {MOST_LEVELS} are read.", field="file")
    text = record.to_json()
    if "\\u0000" in text:
        raise Refusal("The record has a text with a zero byte.", field="file")
    if any(abs(number) > LARGEST_NUMBER for number in _numbers(json.loads(text))):
        raise Refusal(f"The record has a number above {LARGEST_NUMBER:.0e}.", field="file")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
