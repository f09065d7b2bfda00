"""From what was measured to the record, and to the compressed file of rows that lies beside it."""

import gzip
import hashlib
import io
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.calibrate.derive import derived_part
from engine.calibrate.flags import flags_of
from engine.calibrate.level import REQUEST_COLUMNS, StepRow
from engine.calibrate.measured import Measured
from engine.calibrate.preflight import cpu_facts, model_facts, software_facts, source_facts
from engine.calibrate.protocol import Ask
from engine.calibrate.record import Record
from engine.calibrate.record_parts import (
    EngineSettings,
    Hardware,
    LengthPair,
    Model,
    Raw,
    SloLimits,
    Software,
    TokenDistribution,
    TokenShare,
    WorkloadAchieved,
    WorkloadAsked,
)
from engine.calibrate.summary import level_part, prefix_hit_share
from engine.calibrate.targets import TargetFacts
from engine.calibrate.workload import Workload
from engine.calibrate.workload.distribution import Distribution

PROTOCOL_VERSION = 1
UNKNOWN_SOFTWARE = Software(
    platform=None, python=None, torch=None, triton=None, attention_backend=None, cuda_graphs=None
)


def record_of(ask: Ask, measured: Measured, model: Path | None, *, dummy_weights: bool, raw: Raw | None) -> Record:
    """The record of a calibration, whole or stopped after its target had started."""
    facts = measured.facts
    if facts is None:
        raise ValueError("nothing was started, so there is nothing to record")
    levels = tuple(level_part(level, ask.slo, facts.scheduler) for level in measured.levels)
    derived = derived_part(ask, measured)
    return Record(
        id=str(uuid.uuid4()),
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        complete=measured.complete,
        source=source_facts(),
        protocol=f"{ask.tier}/{PROTOCOL_VERSION}",
        tier=ask.tier,
        seed=ask.seed,
        wall_s=measured.wall_s,
        hardware=_hardware(measured, facts),
        software=UNKNOWN_SOFTWARE if facts.scheduler is None else software_facts(facts.device, facts.operations),
        model=_model(ask, facts, model, dummy_weights=dummy_weights),
        engine=_engine(facts),
        workload=_asked(ask.workload),
        achieved=_achieved(measured),
        slo=SloLimits(ttft_p95_ms=ask.slo.ttft_p95_ms, tpot_p95_ms=ask.slo.tpot_p95_ms, preset=ask.slo.preset),
        smoke=measured.smoke,
        cold_start=measured.cold_start,
        soak=measured.soak,
        levels=levels,
        derived=derived,
        flags=flags_of(ask, measured, derived),
        raw=raw,
        resumed=measured.resumed or None,
    )


def _hardware(measured: Measured, facts: TargetFacts) -> Hardware:
    """Of what was measured. A black box runs on something else than this machine, which only sends the load."""
    if facts.scheduler is None:
        return Hardware(device="unknown", cpu=None, gpus=())
    return Hardware(
        device="cuda" if facts.device == "cuda" else "cpu", cpu=measured.cpu or cpu_facts(), gpus=measured.gpus
    )


def _model(ask: Ask, facts: TargetFacts, folder: Path | None, *, dummy_weights: bool) -> Model:
    if folder is not None and ask.shape is not None and facts.scheduler is not None:
        return model_facts(folder, ask.shape, facts.dtype, facts.kv_dtype, facts.quantization, dummy=dummy_weights)
    unknown = dict.fromkeys(set(Model.model_fields) - {"name"})
    return Model(name=facts.model or "unknown", **unknown)


def _engine(facts: TargetFacts) -> EngineSettings:
    limits = facts.scheduler
    return EngineSettings(
        block_size=limits.block_size if limits else None,
        num_blocks=limits.num_blocks if limits else None,
        max_batch=limits.max_batch if limits else None,
        token_budget=limits.token_budget if limits else None,
        max_model_len=limits.max_model_len if limits else None,
        prefix_cache=limits.prefix_cache if limits else None,
        tensor_parallel=1 if limits else None,
        threads=facts.threads,
    )


def _asked(workload: Workload) -> WorkloadAsked:
    mean_input, mean_output = workload.mean
    inputs, outputs = map(_distribution, workload.distributions or (None, None))
    corpus = workload.content.corpus
    return WorkloadAsked(
        kind=workload.kind,
        mean_input_tokens=mean_input,
        mean_output_tokens=mean_output,
        mix=_mix(workload) if workload.kind in ("fixed", "mix") else None,
        trace=workload.trace,
        trace_sha256=workload.trace_sha256,
        burstiness=workload.burstiness,
        prefix_hit_share=workload.prefix_hit_share,
        preset=workload.preset,
        input_tokens=inputs,
        output_tokens=outputs,
        arrivals="trace" if workload.gaps is not None else None,
        shared_by="hash_ids" if workload.by_hash_ids else None,
        text=corpus.name if corpus else None,
        text_sha256=corpus.sha256 if corpus else None,
    )


def _mix(workload: Workload) -> tuple[LengthPair, ...]:
    pairs = zip(workload.lengths, workload.weights, strict=True)
    return tuple(LengthPair(input=pair.input, output=pair.output, weight=weight) for pair, weight in pairs)


def _distribution(asked: Distribution | None) -> TokenDistribution | None:
    if asked is None:
        return None
    bins = zip(asked.tokens, asked.shares, strict=True)
    histogram = None if asked.constant or asked.p95 else tuple(TokenShare(tokens=n, share=share) for n, share in bins)
    return TokenDistribution(mean=asked.mean, p95=asked.p95, histogram=histogram)


def _achieved(measured: Measured) -> WorkloadAchieved:
    rows = [row for level in measured.alike for row in level.log.requests if row.finished and not row.starter]
    return WorkloadAchieved(
        requests=len(rows),
        mean_input_tokens=sum(row.input for row in rows) / len(rows) if rows else None,
        mean_output_tokens=sum(row.output for row in rows) / len(rows) if rows else None,
        prefix_hit_share=prefix_hit_share(measured.alike),
    )


def raw_rows(measured: Measured, file: str) -> tuple[bytes, Raw]:
    """Every request and every iteration of every level, gzipped JSON lines without text; the same rows, the same bytes.

    The first line names the columns; a row is [kind, level, values…], kind "request" or "step".
    """
    lines: list[Any] = [{"request": REQUEST_COLUMNS, "step": StepRow._fields}]
    for level in measured.levels:
        lines += [["request", level.spec.id, *row.values()] for row in level.log.requests]
        lines += [["step", level.spec.id, *step] for step in level.log.steps]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed:
        packed.write(text.encode())
    data = buffer.getvalue()
    return data, Raw(file=file, sha256=hashlib.sha256(data).hexdigest(), rows=len(lines) - 1)
