"""From result files to a calibration record. Pure: no clock, no disk, no network, and neither torch nor Django."""

import hashlib
import statistics
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from engine.calibrate.ingest.document import objects
from engine.calibrate.ingest.facts import CPU, Facts, Given, facts_agreed, facts_completed
from engine.calibrate.ingest.flags import flags_of
from engine.calibrate.ingest.rate import Sustained, fastest, sustained, tail_at_most
from engine.calibrate.ingest.registry import format_of
from engine.calibrate.ingest.tool_level import Load, Result, ToolLevel
from engine.calibrate.metrics import DEFINITIONS
from engine.calibrate.record import Record
from engine.calibrate.record_derived import CurvePoint, Derived, Saturation
from engine.calibrate.record_parts import (
    EngineSettings,
    Gpu,
    Hardware,
    Level,
    Model,
    SloLimits,
    Software,
    Source,
    WorkloadAchieved,
    WorkloadAsked,
)
from engine.calibrate.slo import Slo
from engine.errors import InputError

PROTOCOL = "import/1"
LENGTHS_WITHIN = 0.1
MOST_LEVELS = 200
_MEASURED_ELSEWHERE = {
    "ttft": "t_first - t_sent, as the tool's client saw it",
    "throughput": "tokens and requests of the whole run, its beginning and its end included",
}


def ingest(data: bytes, name: str, given: Given) -> Record:
    """The record of one result file. Raises InputError for a file or for words that can't be used."""
    return ingest_files(((name, data),), given)


def ingest_files(files: Sequence[tuple[str, bytes]], given: Given) -> Record:
    """The record of several files, each with its name: their levels together. The same files, the same record."""
    found = [fields for name, data in files for fields in objects(data, name)]
    kind = format_of(found)
    results = list(kind.results(found))
    facts = facts_completed(facts_agreed((result.where, result.facts) for result in results), given.facts)
    levels = _levels(results, given)
    names = _names(levels)
    rate = sustained(levels, given.slo)
    hashed = _hash_of_files([data for _, data in files])
    return Record(
        id=str(uuid.UUID(hashlib.sha256(f"{hashed} {facts} {given}".encode()).hexdigest()[:32])),
        created_at=f"{_day(levels, given)}T00:00:00Z",
        complete=all(level.complete for level in levels),
        source=Source(tool=kind.TOOL, version=kind.version(found), file_sha256=hashed),
        protocol=PROTOCOL,
        tier=None,
        seed=None,
        wall_s={},
        definitions=DEFINITIONS | _MEASURED_ELSEWHERE,
        hardware=_hardware(facts),
        software=_software(facts),
        model=_model(facts),
        engine=_engine(facts),
        workload=_workload(levels),
        achieved=_achieved(levels),
        slo=SloLimits(ttft_p95_ms=given.slo.ttft_p95_ms, tpot_p95_ms=given.slo.tpot_p95_ms, preset=given.slo.preset),
        smoke=None,
        cold_start=None,
        soak=None,
        levels=tuple(_level(name, level, given.slo) for name, level in zip(names, levels, strict=True)),
        derived=_derived(names, levels, rate),
        flags=flags_of(kind.TOOL, names, levels, rate),
        raw=None,
    )


def _hash_of_files(files: Sequence[bytes]) -> str:
    """A file's SHA-256; of several, that of their sorted hashes, one a line."""
    hashes = sorted(hashlib.sha256(data).hexdigest() for data in files)
    if len(set(hashes)) < len(hashes):
        raise InputError("the same file was given twice; give each once")
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _levels(results: Sequence[Result], given: Given) -> list[ToolLevel]:
    levels = [_with_load(result.where, result.level, given) for result in results if result.level is not None]
    if not levels:
        raise InputError("the file only describes a benchmark; give the files of its runs as well")
    if len(levels) > MOST_LEVELS:
        raise InputError(f"the files have {len(levels)} runs; at most {MOST_LEVELS} are read")
    for length in ("mean_input_tokens", "mean_output_tokens"):
        values = [getattr(level, length) for level in levels]
        if max(values) > (1 + LENGTHS_WITHIN) * min(values):
            raise InputError(
                f"the runs have {length} from {min(values):.0f} to {max(values):.0f}; import one workload at a time"
            )
    return levels


def _with_load(where: str, level: ToolLevel, given: Given) -> ToolLevel:
    """The level with the load that the person adds. Raises InputError where it lacks or contradicts the file's."""
    added = given.requests_per_s or given.concurrency
    if level.load is not None:
        if added and added not in (level.load.requests_per_s, level.load.concurrency):
            raise InputError(
                f"{where}: the file says how requests were sent; leave --request-rate and --concurrency out"
            )
        return level
    if given.requests_per_s is not None:
        return replace(level, load=Load("open", given.requests_per_s, 1.0))
    if given.concurrency is not None:
        return replace(level, load=Load("closed", concurrency=given.concurrency))
    raise InputError(
        f"{where}: does not say how requests were sent; give --request-rate R (random arrivals) or --concurrency N"
    )


def _names(levels: Sequence[ToolLevel]) -> list[str]:
    """`rate-8`, `concurrency-16`; a repeated one is numbered."""
    seen: Counter[str] = Counter()
    names = []
    for level in levels:
        name = _load_name(level)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-run-{seen[name]}")
    return names


def _load_name(level: ToolLevel) -> str:
    load = level.load
    if load is None or load.all_at_once:
        return "all-at-once"
    return f"rate-{load.requests_per_s:g}" if load.mode == "open" else f"concurrency-{load.concurrency}"


def _day(levels: Sequence[ToolLevel], given: Given) -> str:
    """When the last level was measured; the day of the import where nobody knows."""
    days = [level.measured_on for level in levels if level.measured_on is not None]
    if days and given.measured_on is not None and given.measured_on not in days:
        raise InputError(f"--measured-on {given.measured_on}: the file says {max(days)}; leave the flag out")
    day = max(days, default=None) or given.measured_on or given.today
    if not day:
        raise InputError("the file does not say when it was made; give --measured-on DAY")
    return day


def _hardware(facts: Facts) -> Hardware:
    """An accelerator's programs call it cuda, whoever made it."""
    if facts.gpu is None or facts.gpu == CPU:
        return Hardware(device="cpu", cpu=None, gpus=())
    gpu = Gpu(
        name=facts.gpu, memory_gib=None, driver=None, power_limit_w=None, sm_clock_max_mhz=None, ecc=None, mig=None
    )
    return Hardware(device="cuda", cpu=None, gpus=(gpu,) * (facts.gpus or 1))


def _software(facts: Facts) -> Software:
    return Software(
        platform=None,
        python=None,
        torch=None,
        triton=None,
        attention_backend=None,
        cuda_graphs=None,
        engine=facts.engine,
        engine_version=facts.engine_version,
    )


def _model(facts: Facts) -> Model:
    return Model(
        name=facts.model or "",
        revision=None,
        family=None,
        layers=None,
        hidden=None,
        heads=None,
        kv_heads=None,
        head_dim=None,
        intermediate=None,
        vocab=None,
        dtype=facts.dtype,
        kv_dtype=None,
        quantization=None,
        weights=None,
    )


def _engine(facts: Facts) -> EngineSettings:
    return EngineSettings(
        block_size=None,
        num_blocks=None,
        max_batch=None,
        token_budget=None,
        max_model_len=None,
        prefix_cache=facts.prefix_cache,
        speculative=facts.speculative,
        tensor_parallel=facts.tensor_parallel,
        threads=None,
    )


def _workload(levels: Sequence[ToolLevel]) -> WorkloadAsked:
    """The means that were sent. Arrivals are as bursty as the smoothest of the levels that count as traffic."""
    traffic = [
        level.load.burstiness for level in levels if tail_at_most(level) and level.load and level.load.burstiness
    ]
    return WorkloadAsked(
        kind="means",
        mean_input_tokens=statistics.fmean(level.mean_input_tokens for level in levels),
        mean_output_tokens=statistics.fmean(level.mean_output_tokens for level in levels),
        mix=None,
        trace=None,
        trace_sha256=None,
        burstiness=max(traffic, default=None),
        prefix_hit_share=None,
    )


def _achieved(levels: Sequence[ToolLevel]) -> WorkloadAchieved:
    counts = [level.finished for level in levels]
    return WorkloadAchieved(
        requests=None if None in counts else sum(count or 0 for count in counts),
        mean_input_tokens=statistics.fmean(level.mean_input_tokens for level in levels),
        mean_output_tokens=statistics.fmean(level.mean_output_tokens for level in levels),
        prefix_hit_share=None,
    )


def _level(name: str, level: ToolLevel, slo: Slo) -> Level:
    load = level.load or Load("closed")
    meeting = _meeting(level, slo) if load.mode == "open" else None
    known = meeting is not None and level.duration_s
    return Level(
        id=name,
        purpose="imported",
        mode=load.mode,
        concurrency=load.concurrency,
        offered_requests_per_s=load.requests_per_s,
        burstiness=load.burstiness,
        seed=None,
        started_at_s=None,
        duration_s=level.duration_s,
        window_s=level.duration_s,
        complete=level.complete,
        attempted=level.attempted,
        finished=level.finished,
        meeting_slo=meeting,
        input_tokens=level.input_tokens,
        output_tokens=level.output_tokens,
        output_tokens_per_s=level.output_tokens_per_s,
        total_tokens_per_s=level.total_tokens_per_s,
        goodput_requests_per_s=meeting / level.duration_s if known and meeting and level.duration_s else None,
        ttft_ms=level.ttft.part(),
        tpot_ms=level.tpot.part(),
        itl_gap_ms=level.itl_gap.part(),
        e2e_ms=level.e2e.part(),
        steps=None,
        decode_sequences_mean=None,
        kv_use_max=None,
        preemptions=None,
        prefix_hit_share=None,
        client_cpu_share=None,
        other_cpu_share=None,
        gpu=None,
    )


def _meeting(level: ToolLevel, slo: Slo) -> int | None:
    """Requests inside every limit, where each is listed; a single token has no TPOT to miss."""
    if level.requests is None:
        return None
    return sum(first <= slo.ttft_p95_ms and (each or 0.0) <= slo.tpot_p95_ms for first, each in level.requests)


def _derived(names: Sequence[str], levels: Sequence[ToolLevel], rate: Sustained) -> Derived:
    most = fastest(levels)
    return Derived(
        saturation=Saturation(
            level=names[levels.index(most)],
            concurrency=most.load.concurrency if most.load else None,
            requests_per_s=most.requests_per_s,
            output_tokens_per_s=most.output_tokens_per_s,
            total_tokens_per_s=most.total_tokens_per_s,
        ),
        max_rate=rate.rate,
        no_rate_because=rate.no_rate_because,
        binding=rate.binding,
        alone_ttft_p95_ms=None,
        alone_tpot_p95_ms=None,
        curve=_curve(levels),
        simulated_requests=None,
        simulated_requests_per_wall_s=None,
        step_model=None,
        verification=None,
        drift=None,
        energy_j_per_token=None,
    )


def _curve(levels: Sequence[ToolLevel]) -> tuple[CurvePoint, ...]:
    """Levels of traffic whose p95 the file has; a bound in its place is no point of the curve."""
    points = [
        CurvePoint(
            requests_per_s=level.load.requests_per_s,
            runs=1,
            ttft_p95_ms=level.ttft.percentiles[95],
            tpot_p95_ms=level.tpot.percentiles[95],
        )
        for level in levels
        if level.load and level.load.requests_per_s and tail_at_most(level)
        and 95 in level.ttft.percentiles and 95 in level.tpot.percentiles
    ]  # fmt: skip
    return tuple(sorted(points, key=lambda point: point.requests_per_s))
