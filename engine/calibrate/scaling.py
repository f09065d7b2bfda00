"""From a record of one GPU to what another may do: which way there is, and what stands in it."""

import math
from pathlib import Path

from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.derive import curve_points
from engine.calibrate.gpu_facts import GpuFacts, gpu_facts
from engine.calibrate.memory import MemoryCheck, Serving, memory_check
from engine.calibrate.record import Record
from engine.calibrate.record_derived import CurvePoint, Scaled
from engine.calibrate.roofline import WIDENED, Ratios, bounds, coarse_rate, saturated_per_s, scaled_model, slow_motion
from engine.calibrate.scaled_record import Rates, scaled_record
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Lengths, Workload, workload_read
from engine.config import ModelShape, SchedulerConfig
from engine.errors import InputError
from engine.footprint import read_bytes

SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32"}  # what other tools write


def scale(record: Record, to: str, *, model: Path | None = None, workload: Path | None = None) -> Record:
    """The record on another GPU; raises InputError where that can't be said, or the model does not fit there."""
    old, new = _old_gpu(record), _new_gpu(to)
    if old == new:
        raise InputError(f"the record was measured on {old.name} already; name another GPU")
    _refuse_half_told(record, model)
    serving = _serving(record, ModelShape.from_folder(model) if model else shape_of(record))
    ratios = Ratios.between(old, new, serving.quantization)
    memory = memory_check(serving, new)
    weights_ms = None
    if record.derived.step_model is None:
        found = _in_slow_motion(record, ratios, memory.kv_tokens)
    else:
        read = read_bytes(serving.shape, serving.value_bytes, serving.quantization) / serving.gpus
        weights_ms = read / old.bandwidth_gb_per_s / 1e6
        found = _simulated(record, memory, ratios, weights_ms, workload_of(record, workload))
    scaled = Scaled(
        method="slow_motion" if weights_ms is None else "step_model",
        from_gpu=old.name,
        to_gpu=new.name,
        bandwidth_ratio=ratios.bandwidth,
        flops_ratio=ratios.flops,
        widened=WIDENED,
        weights_ms=weights_ms,
        kv_tokens=memory.kv_tokens,
    )
    return scaled_record(record, memory, scaled, _with_the_records_interval(record, found))


def _old_gpu(record: Record) -> GpuFacts:
    hardware = record.hardware
    if record.derived.scaled is not None:
        raise InputError("the record was scaled itself; scale the measured one it came from")
    if hardware.device == "cpu":
        raise InputError("the record was measured on a CPU, which says nothing of a GPU; calibrate on the GPU")
    names = {gpu.name for gpu in hardware.gpus}
    if len(names) != 1:
        raise InputError(f"the record names {len(names)} kinds of GPU; it must be one to be scaled from")
    return gpu_facts(names.pop())


def _refuse_half_told(record: Record, model: Path | None) -> None:
    """An import may lack several things; they are asked for at once, as the benchmark may have to be run again."""
    if record.source.file_sha256 is None:
        return
    lacking = []
    if not _measured_curve(record):
        lacking.append("p95 latencies at known rates (vllm bench serve --metric-percentiles 50,95,99 --request-rate R)")
    if record.model.dtype is None:
        lacking.append("the dtype (import it again with --dtype)")
    if model is None and record.model.hidden is None:
        lacking.append(f"numbers of {record.model.name} to size it by (give --model DIR)")
    if lacking:
        raise InputError(f"the record lacks what it is scaled by: {'; '.join(lacking)}")


def _new_gpu(name: str) -> GpuFacts:
    if name.strip().casefold() == "cpu":
        raise InputError("--to cpu: a GPU says nothing of a CPU; calibrate on the CPU")
    return gpu_facts(name)


def shape_of(record: Record) -> ModelShape:
    """From the numbers in the record, as if nothing were tied: it may then count a head too much, never too little."""
    model = record.model
    raw = {
        "model_type": model.family,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "intermediate_size": model.intermediate,
        "vocab_size": model.vocab,
        "max_position_embeddings": record.engine.max_model_len,
        "tie_word_embeddings": False,
    }
    try:
        return ModelShape.from_config(raw)
    except (InputError, KeyError, TypeError, ValueError):
        raise InputError(f"the record has too few numbers of {model.name} to size it by; give --model DIR") from None


def _serving(record: Record, shape: ModelShape) -> Serving:
    dtype, quantization = record.model.dtype, record.model.quantization or "none"
    if dtype is None:
        raise InputError(f"the record does not say in which dtype {record.model.name} ran, so its size is unknown")
    if dtype == "fp8":  # as other tools call weights in fp8
        dtype, quantization = "bfloat16", "fp8"
    limits = {name: getattr(record.engine, name) for name in ("max_batch", "token_budget", "block_size")}
    return Serving(
        shape=shape,
        dtype=SHORT.get(dtype, dtype),
        kv_dtype=record.model.kv_dtype,
        quantization=quantization,
        gpus=len(record.hardware.gpus),
        **{name: value for name, value in limits.items() if value is not None},
    )


def workload_of(record: Record, file: Path | None = None) -> Workload:
    """The record's workload, read from `file` where the record holds it only in part; raises InputError."""
    asked = record.workload
    if file is not None:
        workload = workload_read(file)
        means = (asked.mean_input_tokens, asked.mean_output_tokens)
        same = (workload.trace_sha256, workload.burstiness) == (asked.trace_sha256, asked.burstiness)
        if not same or not all(map(math.isclose, workload.mean, means)):
            raise InputError(f"--workload {file} is not what the record was measured with; give that")
        return workload
    if asked.mix is None or asked.burstiness is None or asked.prefix_hit_share:
        what = f"the trace {asked.trace}" if asked.trace else "more than a list of lengths"
        raise InputError(f"the record's workload is {what}; give --workload FILE with it")
    return Workload(
        kind="fixed" if len(asked.mix) == 1 else "mix",
        lengths=tuple(Lengths(pair.input, pair.output) for pair in asked.mix),
        weights=tuple(pair.weight for pair in asked.mix),
        burstiness=asked.burstiness,
    )


def _simulated(record: Record, memory: MemoryCheck, ratios: Ratios, weights_ms: float, workload: Workload) -> Rates:
    search = Search(_limits(record, memory), workload, _slo(record), record.seed or 0)
    model = _step_model(record)
    low, high = (coarse_rate(search, step_ms) for step_ms in bounds(model, weights_ms, ratios))
    scaled = scaled_model(model, weights_ms, ratios)
    most = saturated_per_s(search.config, scaled.ms, workload, search.seed)
    found = max_rate(search, scaled.ms, (), 0.0, most)
    return Rates(found.requests_per_s, low, high, found.binding, curve_points(found.curve), scaled, search.simulated)


def _limits(record: Record, memory: MemoryCheck) -> SchedulerConfig:
    """The engine as it was, with the blocks that the other GPU has room for."""
    limits, serving = record.engine, memory.serving
    return SchedulerConfig(
        max_batch=serving.max_batch,
        token_budget=serving.token_budget,
        block_size=serving.block_size,
        num_blocks=memory.kv_blocks,
        max_model_len=limits.max_model_len or serving.shape.max_position,
    )


def _step_model(record: Record) -> StepModel:
    fit = record.derived.step_model
    if fit is None or record.derived.no_rate_because not in (None, "slo_unreachable"):
        raise InputError(f"the record states no rate ({record.grade.basis}); scale one that does")
    return StepModel.read(fit.coefficients)


def _in_slow_motion(record: Record, ratios: Ratios, kv_tokens: int) -> Rates:
    if record.derived.max_rate is None:
        raise InputError(f"the record states no rate ({record.grade.basis}); scale one that does")
    curve = record.derived.curve or _measured_curve(record)
    if not curve:
        raise InputError("the record has neither a step model nor p95 latencies at known rates to scale by")
    slo, lengths = _slo(record), (record.workload.mean_input_tokens, record.workload.mean_output_tokens)
    (low, _), (rate, binding), (high, _) = (
        slow_motion(curve, slo, ratio, lengths, kv_tokens) for ratio in (ratios.slowest, ratios.mean, ratios.fastest)
    )
    return Rates(rate, low, high, binding)


def _measured_curve(record: Record) -> tuple[CurvePoint, ...]:
    """Of a sweep's runs, or of single open-loop levels with requests enough for a p95."""
    sweep, same = record.derived.sweep, (None, record.workload.burstiness)
    if sweep is not None:
        return tuple(CurvePoint(**point.model_dump()) for point in sweep.points)
    levels = [level for level in record.levels if level.mode == "open" and level.burstiness in same]
    points = [(level.offered_requests_per_s, level.ttft_ms.p95, level.tpot_ms.p95) for level in levels]
    return tuple(
        CurvePoint(requests_per_s=rate, runs=1, ttft_p95_ms=ttft, tpot_p95_ms=tpot)
        for rate, ttft, tpot in points
        if rate is not None and ttft is not None and tpot is not None
    )


def _slo(record: Record) -> Slo:
    return Slo(record.slo.ttft_p95_ms, record.slo.tpot_p95_ms, record.slo.preset)


def _with_the_records_interval(record: Record, found: Rates) -> Rates:
    """What is uncertain about the record is so about what was made of it."""
    stated = record.derived.max_rate
    if stated is None or found.rate is None or found.low is None:
        return found
    low = found.low * stated.low / stated.requests_per_s
    high = (found.high or found.rate) * stated.high / stated.requests_per_s
    return found._replace(low=min(low, found.rate), high=max(high, found.rate))
