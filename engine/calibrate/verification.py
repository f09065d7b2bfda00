"""An open-loop level beside the same requests in the simulator: how far off the prediction was."""

import statistics
from collections.abc import Sequence
from typing import Literal, cast

from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.metrics import percentile, samples_needed
from engine.calibrate.record_derived import FEWEST_REQUESTS, MEANS, Compared, Verification
from engine.calibrate.summary import counted_requests, latencies

AGREES_WITHIN = 0.10
REFUTED_BEYOND = 0.25  # between the two a rate is stated whose interval is wider by as much


def verification_part(measured: Measured) -> Verification | None:
    """Means of measured and replayed latencies, and percentiles where there are requests enough to show one."""
    replayed = measured.predicted
    if replayed is None or replayed.rate is None:
        return None
    level = next(level for level in measured.levels if level.spec.id == replayed.spec.id)
    compared = _compared(level, replayed)
    finished = len(latencies(level)["ttft"])
    means = [line for line in compared if line.metric in MEANS]
    return Verification(
        level=level.spec.id,
        requests_per_s=replayed.rate,
        requests=finished,
        requests_for_p95=samples_needed(0.95),
        compared=compared,
        limit=AGREES_WITHIN,
        agrees=(
            finished >= FEWEST_REQUESTS
            and finished == len(counted_requests(level))
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


def refuted(measured: Measured, check: Verification) -> bool:
    """Whether what was sent in open loop is so far off that nothing can be said of the rate."""
    level = next(level for level in measured.levels if level.spec.id == check.level)
    attempted = len(counted_requests(level))
    hanging = attempted >= FEWEST_REQUESTS and check.requests < (1 - REFUTED_BEYOND) * attempted
    return hanging or (check.disagrees and check.worst > REFUTED_BEYOND)
