"""What follows from the levels: saturation, λ*, the step model, the verification against its replay."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal, cast

from engine.calibrate.capacity import T_975
from engine.calibrate.capacity import CurvePoint as SimulatedPoint
from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.metrics import percentile, samples_needed
from engine.calibrate.protocol import FEWEST_REQUESTS, Ask
from engine.calibrate.record_derived import (
    Compared,
    CurvePoint,
    Derived,
    HeldOutLevel,
    MaxRate,
    NoRate,
    Saturation,
    StepModelFit,
    Verification,
)
from engine.calibrate.step_model import TERMS, Fit
from engine.calibrate.summary import latencies

AGREES_WITHIN = 0.10
VOID_DRIFT = 0.08


def derived_part(ask: Ask, measured: Measured) -> Derived:
    found = measured.max_rate
    no_rate = _no_rate(measured)
    fastest = _fastest(measured)
    return Derived(
        saturation=_saturation(ask, fastest),
        max_rate=None if no_rate else _max_rate(measured),
        no_rate_because=no_rate,
        binding=found.binding if found else None,
        alone_ttft_p95_ms=statistics.fmean(found.alone.ttft_p95_ms) if found else None,
        alone_tpot_p95_ms=statistics.fmean(found.alone.tpot_p95_ms) if found else None,
        curve=curve_points(found.curve) if found else (),
        simulated_requests=found.simulated_requests if found else None,
        simulated_requests_per_wall_s=found.simulated_requests_per_wall_s if found else None,
        step_model=_step_model(measured, measured.fit) if measured.fit else None,
        verification=_verification(measured),
        drift=measured.drift,
        energy_j_per_token=_energy_per_token(fastest),
    )


def _no_rate(measured: Measured) -> NoRate | None:
    """Why no rate can be stated, or None when one can."""
    if not measured.complete:
        return "incomplete"
    if measured.drift is not None and abs(measured.drift) > VOID_DRIFT:
        return "void"
    if measured.fit is None or measured.fit.mape is None:
        disturbed = any(level.usable and level.disturbed for level in measured.purpose("step_map"))
        return "contended" if disturbed else "too_few_levels"
    if not measured.fit.holds:
        return "model_misfit"
    return "slo_unreachable" if measured.max_rate is None or measured.max_rate.requests_per_s is None else None


def _max_rate(measured: Measured) -> MaxRate | None:
    found = measured.max_rate
    if found is None or found.requests_per_s is None or found.low is None or found.high is None:
        return None
    return MaxRate(requests_per_s=found.requests_per_s, low=found.low, high=found.high, method="simulated")


def _fastest(measured: Measured) -> MeasuredLevel | None:
    usable = [level for level in measured.levels if level.usable and not level.spec.open_loop]
    fastest = max(usable, key=lambda level: level.output_tokens_per_s, default=None)
    return fastest if fastest and fastest.output_tokens else None


def _saturation(ask: Ask, fastest: MeasuredLevel | None) -> Saturation | None:
    if fastest is None:
        return None
    return Saturation(
        level=fastest.spec.id,
        concurrency=fastest.spec.concurrency,
        requests_per_s=fastest.output_tokens_per_s / ask.workload.mean[1],
        output_tokens_per_s=fastest.output_tokens_per_s,
        total_tokens_per_s=(fastest.input_tokens + fastest.output_tokens) / fastest.window_s,
    )


def curve_points(curve: Sequence[SimulatedPoint]) -> tuple[CurvePoint, ...]:
    return tuple(map(_curve_point, curve))


def _curve_point(point: SimulatedPoint) -> CurvePoint:
    ttft, tpot = _mean_interval(point.ttft_p95_ms), _mean_interval(point.tpot_p95_ms)
    return CurvePoint(
        requests_per_s=point.rate,
        runs=len(point.ttft_p95_ms),
        ttft_p95_ms=statistics.fmean(point.ttft_p95_ms),
        ttft_p95_low_ms=ttft and ttft[0],
        ttft_p95_high_ms=ttft and ttft[1],
        tpot_p95_ms=statistics.fmean(point.tpot_p95_ms),
        tpot_p95_low_ms=tpot and tpot[0],
        tpot_p95_high_ms=tpot and tpot[1],
    )


def _mean_interval(runs: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean over runs, by Student's t; None for too few of them."""
    if len(runs) <= min(T_975):
        return None
    t = T_975[max(known for known in T_975 if known < len(runs))]
    mean, half = statistics.fmean(runs), t * statistics.stdev(runs) / math.sqrt(len(runs))
    return max(0.0, mean - half), mean + half


def _step_model(measured: Measured, fit: Fit) -> StepModelFit:
    return StepModelFit(
        terms=TERMS,
        coefficients={term: getattr(fit.model, term) for term in TERMS},
        covariance=fit.covariance,
        levels=tuple(level.spec.id for level in measured.fitted),
        steps=fit.steps,
        mape=fit.mape,
        mdape=fit.mdape,
        fitted_mdape=fit.fitted_mdape,
        unsteadiness=fit.unsteadiness,
        held_out=tuple(
            HeldOutLevel(
                level=level.level,
                decode_mape=level.decode.mape,
                decode_mdape=level.decode.mdape,
                prefill_mape=level.prefill.mape,
                prefill_mdape=level.prefill.mdape,
            )
            for level in fit.held_out
        ),
    )


def _verification(measured: Measured) -> Verification | None:
    """Means of measured and replayed latencies, and percentiles where there are requests enough to show one."""
    levels = measured.purpose("verification")
    replayed = measured.predicted
    level = levels[0] if levels else None
    if level is None or level.rate is None or replayed is None:
        return None
    compared = _compared(level, replayed)
    finished = len(latencies(level)["ttft"])
    means = [line for line in compared if line.metric in ("ttft_mean_ms", "tpot_mean_ms")]
    return Verification(
        level=level.spec.id,
        requests_per_s=level.rate,
        requests=finished,
        requests_for_p95=samples_needed(0.95),
        compared=compared,
        limit=AGREES_WITHIN,
        agrees=(
            finished >= FEWEST_REQUESTS
            and finished == len(level.log.requests)
            and bool(means)
            and all(abs(line.deviation) <= AGREES_WITHIN for line in means)
        ),
    )


def _compared(level: MeasuredLevel, replayed: MeasuredLevel) -> tuple[Compared, ...]:
    measured, predicted = latencies(level), latencies(replayed)
    lines = [_line("output_tokens_per_s", level.output_tokens, level.output_tokens_per_s, replayed.output_tokens_per_s)]
    for name in ("ttft", "tpot"):
        ours, theirs = measured[name], predicted[name]
        lines.append(_line(f"{name}_mean_ms", len(ours), _mean(ours), _mean(theirs)))
        lines.append(_line(f"{name}_p95_ms", len(ours), percentile(ours, 0.95), percentile(theirs, 0.95)))
    return tuple(line for line in lines if line is not None)


Metric = Literal["ttft_mean_ms", "tpot_mean_ms", "output_tokens_per_s", "ttft_p95_ms", "tpot_p95_ms"]


def _line(metric: str, n: int, measured: float | None, predicted: float | None) -> Compared | None:
    if not measured or predicted is None:
        return None
    deviation = predicted / measured - 1
    return Compared(metric=cast(Metric, metric), n=n, measured=measured, predicted=predicted, deviation=deviation)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _energy_per_token(fastest: MeasuredLevel | None) -> float | None:
    """Joules of the whole GPU for each token, input and output alike, at saturation."""
    if fastest is None or fastest.gpu is None or fastest.gpu.energy_j is None:
        return None
    tokens = sum(step.sampled + step.prefill_tokens for step in fastest.log.steps)
    return fastest.gpu.energy_j / tokens
