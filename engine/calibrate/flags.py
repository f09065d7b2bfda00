"""What a reader of the record must know, each with its number and the limit it passed."""

from collections.abc import Iterator

from engine.calibrate.capacity import METRICS
from engine.calibrate.contention import CONTENDED
from engine.calibrate.derive import CONTENDED_LEVELS, VOID_DRIFT, contended_share
from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.metrics import samples_needed
from engine.calibrate.plan import SWEEP_WINDOW_S
from engine.calibrate.protocol import Ask
from engine.calibrate.protocol.mapping import SLOW
from engine.calibrate.record import RUNS_FOR_A
from engine.calibrate.record_derived import MEANS, Derived, Sweep
from engine.calibrate.record_parts import Flag, FlagCode
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import MOST_MDAPE
from engine.calibrate.summary import counted_requests, prefix_hit_share
from engine.calibrate.verification import refuted

DRIFT = 0.03
PREFIX_HITS = 0.01  # more or less than asked
THROTTLED = 0.05
UNSTEADY = 0.03
WIDE_INTERVAL = 0.25  # half of it, over the rate
WIDE_MEASURED = 0.05
CLIFF = 3.0  # times the limit, so soon after the rate
CLIFF_WITHIN = 1.1
CLIENT_BOUND = 0.8  # of the core that sends the load
SEND_LAG = 0.1  # of the limit on TTFT
PREDICTED_WITHIN = 0.10  # of the measured rate


def flags_of(ask: Ask, measured: Measured, derived: Derived) -> tuple[Flag, ...]:
    """All flags, those of single levels first."""
    found = [flag for level in measured.levels for flag in (*_of_level(level), *_of_client(level, ask.slo))]
    found += _of_run(measured)
    found += _of_prefixes(ask, measured)
    found += _of_prediction(measured, derived)
    found += _of_sweep(ask, measured, derived) if derived.sweep else _of_verification(measured, derived)
    return tuple(found)


def _flag(code: FlagCode, message: str, value: float | None, limit: float | None, level: str | None = None) -> Flag:
    return Flag(code=code, level=level, value=value, limit=limit, message=message)


def _of_level(level: MeasuredLevel) -> Iterator[Flag]:
    name = level.spec.id
    others = level.cpu.others
    if others is not None and level.cpu.contended:
        message = f"other processes took {100 * others:.0f} % of the CPU during {name}"
        yield _flag("cpu_contended", message, others, CONTENDED, name)
    wrong = sum(row.finished and row.output != row.asked for row in level.log.requests)
    if wrong:
        message = f"{wrong} requests of {name} came out at another length than asked"
        yield _flag("osl_mismatch", message, wrong, 0, name)
    rows = counted_requests(level) if level.spec.open_loop and not level.oversaturated else []
    failed = sum(level.log.client.errors.values()) if level.log.client else 0  # told of by kind
    unfinished = sum(not row.finished for row in rows) - failed
    if unfinished > 0:
        message = f"{unfinished} requests of {name} had not finished when the wait for them ended; they count as misses"
        yield _flag("errors", message, unfinished, 0, name)
    if level.gpu and level.gpu.throttled_share is not None and level.gpu.throttled_share > THROTTLED:
        share = level.gpu.throttled_share
        yield _flag(
            "throttled", f"the GPU held its clocks back in {100 * share:.0f} % of {name}", share, THROTTLED, name
        )


def _of_client(level: MeasuredLevel, slo: Slo) -> Iterator[Flag]:
    """Whether the sender of a black box's load kept up with its schedule."""
    client, name = level.log.client, level.spec.id
    if client is None:
        return
    if client.cpu_share > CLIENT_BOUND:
        message = (
            f"the client that sent {name} used {100 * client.cpu_share:.0f} % of its core, and may be what was measured"
        )
        yield _flag("client_bound", message, client.cpu_share, CLIENT_BOUND, name)
    limit = SEND_LAG * slo.ttft_p95_ms
    if level.spec.open_loop and client.send_lag_p99_ms > limit:
        message = f"1 % of the requests of {name} were sent {client.send_lag_p99_ms:.0f} ms late or more"
        yield _flag("send_lag", message, client.send_lag_p99_ms, limit, name)
    failed = sum(client.errors.values())
    if failed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(client.errors.items()))
        yield _flag("errors", f"{failed} requests of {name} failed: {kinds}; they count as misses", failed, 0, name)


def _of_run(measured: Measured) -> Iterator[Flag]:
    if not measured.complete:
        phase = list(measured.wall_s)[-1]
        yield _flag("incomplete", f"stopped in the phase {phase}; what was measured until then is kept", None, None)
    if measured.gpu_strangers:
        message = f"{measured.gpu_strangers} other processes were on the GPU at the start"
        yield _flag("gpu_shared", message, measured.gpu_strangers, 0)
    if measured.soak and not measured.soak.settled:
        message = f"step times still changed after {measured.soak.seconds:.0f} s of warm-up"
        yield _flag("not_settled", message, measured.soak.slope_percent_per_min, None)
    share = contended_share(measured.levels)
    if share > CONTENDED_LEVELS:
        count = sum(level.cpu.contended for level in measured.levels)
        message = f"other processes used the CPU in {count} of {len(measured.levels)} levels, too many to state a rate"
        yield _flag("cpu_contended", message, share, CONTENDED_LEVELS)
    if measured.complete and measured.drift is None:
        yield _flag("drift", "drift is unknown: other processes disturbed a reference level", None, DRIFT)
    if measured.drift is not None and abs(measured.drift) > DRIFT:
        void = "; the calibration is void" if abs(measured.drift) > VOID_DRIFT else ""
        message = f"steps took {100 * measured.drift:+.1f} % longer at the end than at the beginning{void}"
        yield _flag("drift", message, measured.drift, DRIFT)


def _of_prefixes(ask: Ask, measured: Measured) -> Iterator[Flag]:
    hits, asked = prefix_hit_share(measured.alike), ask.workload.prefix_hit_share
    if hits is not None and abs(hits - asked) > PREFIX_HITS:
        meant = f"{100 * asked:.1f} % were meant to" if asked else "none were meant to"
        message = f"{100 * hits:.1f} % of prompt tokens came from the prefix cache, {meant}"
        yield _flag("prefix_hits", message, hits, asked + PREFIX_HITS if hits > asked else asked - PREFIX_HITS)


def _of_prediction(measured: Measured, derived: Derived) -> Iterator[Flag]:
    fit = measured.fit
    if fit and fit.mdape is not None and not fit.holds:
        message = f"the step model is {100 * fit.mdape:.1f} % off on held-out levels; no rate is predicted from it"
        if fit.fitted_mdape > MOST_MDAPE / 2:
            message += (
                f" (it is {100 * fit.fitted_mdape:.1f} % off where it was fitted: the machine does not hold still)"
            )
        yield _flag("model_misfit", message, fit.mdape, MOST_MDAPE)
    if measured.slow:
        ids = ", ".join(level.spec.id for level in measured.slow)
        message = (
            f"the machine was slower in {ids} than in another run of the same level, by over {100 * SLOW:.0f} %; the "
            "step model leaves them out"
        )
        yield _flag("unsteady", message, len(measured.slow), 0)
    if fit and fit.unsteadiness > UNSTEADY:
        message = (
            f"the machine was slower at times, by {100 * fit.unsteadiness:.0f} % over all iterations, though nobody "
            "else was seen to use it; the low end of the rate allows for that"
        )
        yield _flag("unsteady", message, fit.unsteadiness, UNSTEADY)
    if measured.levels and measured.max_rate is None and measured.sweep is None:
        yield _flag(
            "closed_loop_only",
            "only closed-loop levels were measured; they overstate what can be sustained",
            None,
            None,
        )
    most = max((level.spec.concurrency or 0 for level in measured.fitted), default=0)
    if measured.simultaneous is not None and measured.simultaneous > most and derived.sweep is None:
        message = f"at the predicted rate {measured.simultaneous} sequences run at once; levels went up to {most}"
        yield _flag("unresolved", message, measured.simultaneous, most)
    rate = derived.max_rate
    if rate is not None and derived.binding == "saturation" and derived.sweep is None and derived.saturation:
        at = f"{derived.saturation.concurrency} at a time"
        message = (
            f"no limit is crossed up to {rate.requests_per_s:.3g} requests/s, which is all that closed loops reached "
            f"({at}); more was not measured"
        )
        yield _flag("unresolved", message, rate.requests_per_s, derived.saturation.requests_per_s)
    if rate is not None:
        half = (rate.high - rate.low) / 2 / rate.requests_per_s
        widest = WIDE_INTERVAL if rate.method == "simulated" else WIDE_MEASURED
        if half > widest:
            yield _flag("unresolved", f"the rate is known to ±{100 * half:.0f} % only", half, widest)


def _of_verification(measured: Measured, derived: Derived) -> Iterator[Flag]:
    check = derived.verification
    if check is None:
        yield _flag("not_verified", "no open-loop level was measured beside its prediction", None, None)
        return
    needed = samples_needed(0.95)
    if check.requests < needed:
        minutes = needed / check.requests_per_s / 60
        message = (
            f"{check.requests} requests finished in {check.level}; a p95 needs {needed}, which at this rate take "
            f"{minutes:.1f} minutes, so means are compared"
        )
        yield _flag("few_samples", message, check.requests, needed, check.level)
    if check.agrees:
        return
    means = "; ".join(
        f"mean {line.metric[:4].upper()} {line.measured:.4g} ms where {line.predicted:.4g} ms were predicted"
        for line in check.compared
        if line.metric in MEANS
    )
    message = f"{check.level} and its prediction agree less than the {100 * check.limit:.0f} % asked for: {means}"
    if refuted(measured, check):
        message += "; so no rate is stated"
    elif derived.max_rate is not None and check.disagrees:
        message += "; the interval is wider by as much"
    yield _flag("not_verified", message, check.worst, check.limit, check.level)


def _of_sweep(ask: Ask, measured: Measured, derived: Derived) -> Iterator[Flag]:
    sweep, rate = derived.sweep, derived.max_rate
    if sweep is None:
        return
    if sweep.window_s < SWEEP_WINDOW_S:
        planned = f"{sweep.window_s:.0f} s long instead of {SWEEP_WINDOW_S:.0f}"
        message = f"open-loop windows were {planned}, as --max-minutes is short"
        yield _flag("few_samples", message, sweep.window_s, SWEEP_WINDOW_S)
    if rate is None:
        return
    if sweep.runs_near < RUNS_FOR_A:
        message = f"{sweep.runs_near} open-loop runs were within 10 % of the rate; {RUNS_FOR_A} are wanted"
        yield _flag("not_verified", message, sweep.runs_near, RUNS_FOR_A)
    if measured.sweep is not None and measured.sweep.above:
        highest = max(point.requests_per_s for point in sweep.points)
        message = f"no rate that was measured is over a limit, up to {highest:.3g} requests/s; more may be possible"
        yield _flag("unresolved", message, rate.requests_per_s, highest)
    predicted = sweep.predicted
    off = predicted.requests_per_s / rate.requests_per_s - 1 if predicted else 0.0
    if abs(off) > PREDICTED_WITHIN:
        message = f"a rate {100 * off:+.0f} % off the measured one, which counts, had been predicted"
        yield _flag("model_misfit", message, off, PREDICTED_WITHIN)
    yield from _of_cliff(ask, sweep, rate.requests_per_s)


def _of_cliff(ask: Ask, sweep: Sweep, rate: float) -> Iterator[Flag]:
    """Whether a little more than the rate is not a little slower but collapses."""
    for metric in METRICS:
        limit = getattr(ask.slo, metric)
        beyond = [p for p in sweep.points if rate <= p.requests_per_s <= CLIFF_WITHIN * rate]
        steepest = max((getattr(point, metric) / limit for point in beyond), default=0.0)
        if steepest > CLIFF:
            above = f"within {100 * (CLIFF_WITHIN - 1):.0f} % above the rate"
            message = f"{above} {metric} reaches {steepest:.1f} times its limit"
            yield _flag("cliff", message, steepest, CLIFF)
