"""What follows from the levels: saturation, λ* predicted and measured, the step model, a level beside its replay."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from engine.calibrate.capacity import METRICS, T_975, Binding
from engine.calibrate.capacity import CurvePoint as SimulatedPoint
from engine.calibrate.capacity import Metric as Limited
from engine.calibrate.measured import Measured, MeasuredLevel, output_tokens_per_s
from engine.calibrate.protocol import Ask
from engine.calibrate.record_derived import (
    CurvePoint,
    Derived,
    HeldOutLevel,
    MaxRate,
    NoRate,
    Saturation,
    StandIn,
    StepModelFit,
    Sweep,
    SweepPoint,
    Verification,
)
from engine.calibrate.step_model import Fit
from engine.calibrate.sweep_fit import SweepFit
from engine.calibrate.verification import AGREES_WITHIN, refuted, verification_part

VOID_DRIFT = 0.08
CONTENDED_LEVELS = 1 / 3  # of all, or of a sweep; with more they say something of the neighbour


def derived_part(ask: Ask, measured: Measured) -> Derived:
    found = measured.max_rate
    check = verification_part(measured)
    no_rate = _no_rate(measured, check)
    fastest = measured.fastest
    alone = _alone(measured)
    return Derived(
        saturation=_saturation(ask, fastest),
        max_rate=None if no_rate else _measured_rate(measured) or _widened(_predicted_rate(measured), check),
        no_rate_because=no_rate,
        binding=_binding(ask, measured),
        alone_ttft_p95_ms=alone.get("ttft_p95_ms"),
        alone_tpot_p95_ms=alone.get("tpot_p95_ms"),
        curve=curve_points(found.curve) if found else (),
        simulated_requests=found.simulated_requests if found else None,
        simulated_requests_per_wall_s=found.simulated_requests_per_wall_s if found else None,
        step_model=_step_model(measured, measured.fit) if measured.fit else None,
        verification=check,
        drift=measured.drift,
        energy_j_per_token=_energy_per_token(fastest),
        sweep=_sweep(measured),
        stand_in=_stand_in(measured),
    )


def _no_rate(measured: Measured, check: Verification | None) -> NoRate | None:
    """Why no rate can be stated, or None when one can."""
    if not measured.complete:
        return "incomplete"
    if measured.drift is not None and abs(measured.drift) > VOID_DRIFT:
        return "void"
    if measured.sweep is not None:
        return _no_measured_rate(measured)
    if contended_share(measured.levels) > CONTENDED_LEVELS:
        return "contended"
    if check is not None and refuted(measured, check):
        return "model_misfit"
    if measured.max_rate is not None:
        return "slo_unreachable" if measured.max_rate.requests_per_s is None else None
    if measured.infeasible:
        return "slo_unreachable"
    if measured.fit is None or measured.fit.mape is None:
        disturbed = any(level.usable and level.disturbed for level in measured.purpose("step_map"))
        return "contended" if disturbed else "too_few_levels"
    return "model_misfit"


def _no_measured_rate(measured: Measured) -> NoRate | None:
    if contended_share([level for level in measured.levels if level.spec.open_loop]) > CONTENDED_LEVELS:
        return "contended"
    if _measured_rate(measured):
        return None
    return "slo_unreachable" if measured.infeasible else "no_level_inside"


def contended_share(levels: Sequence[MeasuredLevel]) -> float:
    """Of levels, those during which others used the CPU."""
    return sum(level.cpu.contended for level in levels) / len(levels) if levels else 0.0


def _widened(rate: MaxRate | None, check: Verification | None) -> MaxRate | None:
    """A predicted rate whose verification was off, in latencies, is not known better than they are."""
    if rate is None or check is None or not check.disagrees:
        return rate
    wider = 1 + max(check.worst, AGREES_WITHIN)
    return rate.model_copy(update={"low": rate.low / wider, "high": rate.high * wider})


def _measured_rate(measured: Measured) -> MaxRate | None:
    fit = measured.sweep
    if fit is None or fit.requests_per_s is None or fit.low is None or fit.high is None:
        return None
    return MaxRate(requests_per_s=fit.requests_per_s, low=fit.low, high=fit.high, method="measured")


def _predicted_rate(measured: Measured) -> MaxRate | None:
    found = measured.max_rate
    if found is None or found.requests_per_s is None or found.low is None or found.high is None:
        return None
    return MaxRate(requests_per_s=found.requests_per_s, low=found.low, high=found.high, method="simulated")


def _binding(ask: Ask, measured: Measured) -> Binding | None:
    if measured.sweep is not None:
        return "saturation" if measured.sweep.above else measured.sweep.binding
    if measured.max_rate is not None:
        return measured.max_rate.binding
    alone = measured.alone()
    return next((metric for metric in METRICS if alone and alone[metric] > getattr(ask.slo, metric)), None)


def _alone(measured: Measured) -> dict[Limited, float]:
    """p95s of requests that never meet: simulated, or of the closed loop of one where nothing can be simulated."""
    if measured.stand_in is not None:
        return measured.alone()
    if measured.max_rate is None:
        return measured.alone() if measured.sweep or measured.infeasible else {}
    return {metric: statistics.fmean(getattr(measured.max_rate.alone, metric)) for metric in METRICS}


def _sweep(measured: Measured) -> Sweep | None:
    fit = measured.sweep
    if fit is None or measured.sweep_window_s is None:
        return None
    return Sweep(
        method=_method(measured, fit),
        runs=len(fit.runs),
        runs_near=fit.near,
        oversaturated_runs=sum(run.oversaturated for run in fit.runs),
        window_s=measured.sweep_window_s,
        half_width=None if math.isinf(fit.half_width) else fit.half_width,
        points=tuple(
            SweepPoint(
                requests_per_s=point.rate,
                runs=point.runs,
                ttft_p95_ms=point.ttft_p95_ms,
                tpot_p95_ms=point.tpot_p95_ms,
            )
            for point in fit.points
        ),
        predicted=_predicted_rate(measured),
    )


def _method(measured: Measured, fit: SweepFit) -> Literal["twins", "stand_in", "isotonic"]:
    if not all(run.twin for run in fit.runs):
        return "isotonic"
    return "twins" if measured.stand_in is None else "stand_in"


def _stand_in(measured: Measured) -> StandIn | None:
    found = measured.stand_in
    if found is None:
        return None
    return StandIn(
        coefficients=found.model.coefficients,
        max_batch=found.limits.max_batch,
        token_budget=found.limits.token_budget,
        levels=tuple(level.spec.id for level in measured.purpose("step_map") if level.usable),
        error=found.error,
        used=found.holds,
    )


def _saturation(ask: Ask, fastest: Sequence[MeasuredLevel]) -> Saturation | None:
    if not fastest:
        return None
    output, seconds = output_tokens_per_s(fastest), sum(level.window_s for level in fastest)
    return Saturation(
        level=fastest[0].spec.id,
        concurrency=fastest[0].spec.concurrency,
        requests_per_s=output / ask.workload.mean[1],
        output_tokens_per_s=output,
        total_tokens_per_s=output + sum(level.input_tokens for level in fastest) / seconds,
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
        terms=tuple(fit.model.coefficients),
        coefficients=fit.model.coefficients,
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


def _energy_per_token(fastest: Sequence[MeasuredLevel]) -> float | None:
    """Joules of the whole GPU for each token, input and output alike, at saturation."""
    joules = [level.gpu.energy_j if level.gpu else None for level in fastest]
    known = [energy for energy in joules if energy is not None]
    tokens = sum(step.sampled + step.prefill_tokens for level in fastest for step in level.log.steps)
    return sum(known) / tokens if tokens and len(known) == len(joules) else None
