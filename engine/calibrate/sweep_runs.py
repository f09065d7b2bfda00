"""What one open-loop run showed, request by request, and its p95s."""

from engine.calibrate.capacity import Metric
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.summary import counted_requests


def run_values(level: MeasuredLevel) -> dict[Metric, tuple[float, ...]]:
    """TTFT and TPOT in milliseconds of all requests that were due in the window.

    One without its first token yet has waited at least until the level ended, and counts as that. In a level that was
    ended early those due by then count.
    """
    rows = [row for row in counted_requests(level) if row.t_sched <= level.log.duration_s]
    ended = level.log.duration_s
    ttft = (ms if (ms := row.ttft_ms(open_loop=True)) is not None else 1000 * (ended - row.t_sched) for row in rows)
    return {"ttft_p95_ms": tuple(ttft), "tpot_p95_ms": tuple(ms for row in rows if (ms := row.tpot_ms) is not None)}


def run_p95s(level: MeasuredLevel) -> dict[Metric, float]:
    """p95 of each, 0 where there is nothing."""
    return {metric: nearest_rank(values, 0.95) if values else 0.0 for metric, values in run_values(level).items()}
