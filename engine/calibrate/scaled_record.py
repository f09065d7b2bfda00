"""The record of a GPU that nothing was measured on; the one it came from is named by its hash."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from engine.calibrate.capacity import Binding
from engine.calibrate.memory import MemoryCheck
from engine.calibrate.preflight import source_facts
from engine.calibrate.record import Record
from engine.calibrate.record_derived import CurvePoint, Derived, MaxRate, NoRate, Scaled, StepModelFit
from engine.calibrate.record_parts import Flag, Gpu, Hardware, WorkloadAchieved
from engine.calibrate.step_model import StepModel

PROTOCOL = "scaled/1"
WIDE_INTERVAL = 0.25  # half of it, over the rate


class Rates(NamedTuple):
    """λ* and its bounds on the other GPU, each None where even a lone request misses the SLO, or may do so."""

    rate: float | None
    low: float | None
    high: float | None
    binding: Binding
    curve: tuple[CurvePoint, ...] = ()
    model: StepModel | None = None
    simulated: int | None = None


def scaled_record(record: Record, memory: MemoryCheck, scaled: Scaled, found: Rates) -> Record:
    """All that was seen is left out, all that was asked for stays."""
    gpu = Gpu(
        name=memory.gpu.name,
        memory_gib=round(memory.gpu.memory_mib / 1024, 1),
        driver=None,
        power_limit_w=None,
        sm_clock_max_mhz=None,
        ecc=None,
        mig=None,
    )
    blocks = memory.kv_blocks if found.model else None
    return Record(
        id=str(uuid.uuid4()),
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        complete=True,
        source=source_facts().model_copy(update={"tool": "engine.calibrate.scale", "scaled_from": record.sha256}),
        protocol=PROTOCOL,
        tier=None,
        seed=record.seed,
        wall_s={},
        hardware=Hardware(device="cuda", cpu=None, gpus=(gpu,) * memory.serving.gpus),
        software=record.software,
        model=record.model,
        engine=record.engine.model_copy(update={"num_blocks": blocks}),
        workload=record.workload,
        achieved=WorkloadAchieved(requests=0, mean_input_tokens=None, mean_output_tokens=None, prefix_hit_share=None),
        slo=record.slo,
        smoke=None,
        cold_start=None,
        soak=None,
        levels=(),
        derived=_derived(record, scaled, found),
        flags=tuple(_flags(record, scaled, found)),
        raw=None,
    )


def _derived(record: Record, scaled: Scaled, found: Rates) -> Derived:
    alone = found.curve[0] if found.curve else None
    no_rate = _no_rate(scaled, found)
    return Derived(
        saturation=None,
        max_rate=None if no_rate else _max_rate(found),
        no_rate_because=no_rate,
        binding=found.binding,
        alone_ttft_p95_ms=alone.ttft_p95_ms if alone else None,
        alone_tpot_p95_ms=alone.tpot_p95_ms if alone else None,
        curve=found.curve,
        simulated_requests=found.simulated,
        simulated_requests_per_wall_s=None,
        step_model=_fit(record, found.model),
        verification=None,
        drift=None,
        energy_j_per_token=None,
        scaled=scaled,
    )


def _no_rate(scaled: Scaled, found: Rates) -> NoRate | None:
    """A rate is stated when it can be kept however slow the other GPU is within the bounds."""
    if None not in (found.rate, found.low):
        return None
    return "slo_unreachable" if scaled.method == "step_model" and found.high is None else "unknown"


def _max_rate(found: Rates) -> MaxRate | None:
    if found.rate is None or found.low is None or found.high is None:
        return None
    return MaxRate(requests_per_s=found.rate, low=found.low, high=found.high, method="scaled")


def _fit(record: Record, model: StepModel | None) -> StepModelFit | None:
    """The scaled coefficients, as surely known relative to their size as they were; judged on nothing."""
    fit = record.derived.step_model
    if fit is None or model is None:
        return None
    new, old = model.coefficients, fit.coefficients
    ratios = [new[term] / old[term] if old[term] else 0.0 for term in fit.terms]
    covariance = tuple(
        tuple(value * row_ratio * ratio for value, ratio in zip(row, ratios, strict=True))
        for row, row_ratio in zip(fit.covariance, ratios, strict=True)
    )
    return StepModelFit(
        terms=fit.terms,
        coefficients={term: new[term] for term in fit.terms},
        covariance=covariance,
        levels=(),
        steps=fit.steps,
        mape=None,
        held_out=(),
    )


def _flags(record: Record, scaled: Scaled, found: Rates) -> Iterator[Flag]:
    message = (
        f"nothing was measured on {scaled.to_gpu}: this is record {record.sha256[:12]} of {scaled.from_gpu}, with "
        f"{scaled.bandwidth_ratio:.2f} times the bandwidth and {scaled.flops_ratio:.2f} times the arithmetic"
    )
    yield Flag(code="not_verified", level=None, value=None, limit=None, message=message)
    if found.rate is None or found.low is None or found.high is None:
        message = f"as slow as {scaled.to_gpu} may be, even a lone request can miss {found.binding}; measure there"
        yield Flag(code="unresolved", level=None, value=None, limit=None, message=message)
        return
    half = (found.high - found.low) / 2 / found.rate
    if half > WIDE_INTERVAL:
        message = f"the rate is known to ±{100 * half:.0f} % only"
        yield Flag(code="unresolved", level=None, value=half, limit=WIDE_INTERVAL, message=message)
