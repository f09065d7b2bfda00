"""The p95s of one open-loop run."""

from engine.calibrate.capacity import Metric
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.summary import counted_requests


def run_p95s(level: MeasuredLevel) -> dict[Metric, float]:
    """p95 TTFT and TPOT in milliseconds over all requests that were due in the window.

    One without its first token yet has waited at least until the level ended, and counts as that. In a level that was
    ended early those due by then count.
    """
    rows = [row for row in counted_requests(level) if row.t_sched <= level.log.duration_s]
    ended = level.log.duration_s
    ttft = [ms if (ms := row.ttft_ms(open_loop=True)) is not None else 1000 * (ended - row.t_sched) for row in rows]
    tpot = [ms for row in rows if (ms := row.tpot_ms) is not None]
    return {
        "ttft_p95_ms": nearest_rank(ttft, 0.95) if ttft else 0.0,
        "tpot_p95_ms": nearest_rank(tpot, 0.95) if tpot else 0.0,
    }
