"""The parts of an imported record, from the facts and the levels of the files. What they do not say is null."""

import statistics
from collections.abc import Sequence

from engine.calibrate.ingest.facts import CPU, Facts
from engine.calibrate.ingest.rate import Sustained, fastest, tail_at_most
from engine.calibrate.ingest.tool_level import Load, ToolLevel
from engine.calibrate.record_derived import CurvePoint, Derived, Saturation
from engine.calibrate.record_parts import (
    EngineSettings,
    Gpu,
    Hardware,
    Level,
    Model,
    Software,
    WorkloadAchieved,
    WorkloadAsked,
)
from engine.calibrate.slo import Slo


def hardware_part(facts: Facts) -> Hardware:
    """An accelerator's programs call it cuda, whoever made it."""
    if facts.gpu is None or facts.gpu == CPU:
        return Hardware(device="cpu", cpu=None, gpus=())
    gpu = Gpu(
        name=facts.gpu, memory_gib=None, driver=None, power_limit_w=None, sm_clock_max_mhz=None, ecc=None, mig=None
    )
    return Hardware(device="cuda", cpu=None, gpus=(gpu,) * (facts.gpus or 1))


def software_part(facts: Facts) -> Software:
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


def model_part(facts: Facts) -> Model:
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


def engine_part(facts: Facts) -> EngineSettings:
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


def workload_part(levels: Sequence[ToolLevel]) -> WorkloadAsked:
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


def achieved_part(levels: Sequence[ToolLevel]) -> WorkloadAchieved:
    counts = [level.finished for level in levels]
    return WorkloadAchieved(
        requests=None if None in counts else sum(count or 0 for count in counts),
        mean_input_tokens=statistics.fmean(level.mean_input_tokens for level in levels),
        mean_output_tokens=statistics.fmean(level.mean_output_tokens for level in levels),
        prefix_hit_share=None,
    )


def level_part(name: str, level: ToolLevel, slo: Slo) -> Level:
    load = level.load or Load("closed")
    meeting = _meeting(level, slo) if load.mode == "open" else None
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
        goodput_requests_per_s=meeting / level.duration_s if meeting is not None and level.duration_s else None,
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


def derived_part(names: Sequence[str], levels: Sequence[ToolLevel], rate: Sustained) -> Derived:
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
