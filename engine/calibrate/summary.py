"""A measured level as the record shows it: counts, rates, latencies with their n."""

import statistics
from collections.abc import Sequence
from typing import Literal, cast

from engine.calibrate.level import RequestRow
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.metrics import Histogram, percentile
from engine.calibrate.record_parts import Distribution, Level
from engine.calibrate.slo import Slo
from engine.config import SchedulerConfig

Purpose = Literal[
    "reference", "step_map", "bracket", "verification", "replication", "bursty", "prefix_sharing", "reference_again"
]
ROUNDING_S = 1e-9  # of a window's end, which the last request may be due at


def counted_requests(level: MeasuredLevel) -> list[RequestRow]:
    """Requests whose latencies count.

    Open loop: all that were due inside the window, finished or not. Closed loop: those that finished before it closed,
    without the opening burst, whose lengths and waiting are not the workload's.
    """
    rows = level.log.requests
    if level.spec.open_loop:
        opens, closes = level.spec.warm_in_s, level.spec.warm_in_s + level.spec.window_s
        return [row for row in rows if opens <= row.t_sched <= closes + ROUNDING_S]
    return [row for row in rows if row.finished and not row.starter]


def latencies(level: MeasuredLevel) -> dict[str, list[float]]:
    """TTFT, TPOT and E2E of the counted requests that finished, in milliseconds."""
    rows = [row for row in counted_requests(level) if row.finished]
    values = {
        "ttft": [row.ttft_ms(open_loop=level.spec.open_loop) for row in rows],
        "tpot": [row.tpot_ms for row in rows],
        "e2e": [row.e2e_ms for row in rows],
    }
    return {name: [ms for ms in found if ms is not None] for name, found in values.items()}


def meets(row: RequestRow, slo: Slo, *, open_loop: bool) -> bool:
    """Whether one request finished inside every limit; one token alone has no TPOT to miss."""
    ttft, tpot = row.ttft_ms(open_loop=open_loop), row.tpot_ms
    return row.finished and ttft is not None and ttft <= slo.ttft_p95_ms and (tpot or 0.0) <= slo.tpot_p95_ms


def level_part(level: MeasuredLevel, slo: Slo, limits: SchedulerConfig | None) -> Level:
    rows = counted_requests(level)
    within = latencies(level)
    steps = level.log.steps
    open_loop = level.spec.open_loop
    meeting = sum(meets(row, slo, open_loop=open_loop) for row in rows) if open_loop else None
    opened = level.window_s > 0
    return Level(
        id=level.spec.id,
        purpose=cast(Purpose, level.spec.purpose),
        mode="open" if open_loop else "closed",
        concurrency=level.spec.concurrency,
        offered_requests_per_s=level.rate,
        burstiness=level.burstiness,
        seed=level.spec.seed,
        started_at_s=level.started_at_s,
        duration_s=max(level.log.duration_s, 1e-6),
        window_s=level.window_s,
        complete=level.log.complete,
        attempted=len(rows),
        finished=sum(row.finished for row in rows),
        meeting_slo=meeting,
        input_tokens=level.input_tokens,
        output_tokens=level.output_tokens,
        output_tokens_per_s=level.output_tokens_per_s if opened else None,
        total_tokens_per_s=(level.input_tokens + level.output_tokens) / level.window_s if opened else None,
        goodput_requests_per_s=meeting / level.window_s if meeting is not None and opened else None,
        ttft_ms=distribution(within["ttft"]),
        tpot_ms=distribution(within["tpot"]),
        itl_gap_ms=_of_histogram(level.log.itl_gaps_ms),
        e2e_ms=distribution(within["e2e"]),
        steps=len(steps),
        quiet_steps=len(level.quiet_steps),
        decode_sequences_mean=statistics.fmean(step.decode_sequences for step in steps) if steps else None,
        kv_use_max=1 - min(step.free_blocks for step in steps) / (limits.num_blocks - 1) if steps and limits else None,
        preemptions=sum(step.preempted for step in steps),
        prefix_hit_share=prefix_hit_share([level]),
        client_cpu_share=level.cpu.driver,
        other_cpu_share=level.cpu.others,
        gpu=level.gpu,
    )


def prefix_hit_share(levels: Sequence[MeasuredLevel]) -> float | None:
    """Of the prompt tokens of requests that were admitted, those found in the prefix cache."""
    rows = [row for level in levels for row in level.log.requests if row.t_first is not None]
    prompt = sum(row.input for row in rows)
    return sum(row.cached for row in rows) / prompt if prompt else None


def distribution(values: Sequence[float]) -> Distribution:
    return Distribution(
        n=len(values),
        mean=statistics.fmean(values) if values else None,
        p50=percentile(values, 0.50),
        p95=percentile(values, 0.95),
        p99=percentile(values, 0.99),
        buckets=tuple(Histogram.of(values).pairs()),
    )


def _of_histogram(histogram: Histogram) -> Distribution:
    return Distribution(
        n=histogram.n,
        mean=histogram.mean,
        p50=histogram.percentile(0.50),
        p95=histogram.percentile(0.95),
        p99=histogram.percentile(0.99),
        buckets=tuple(histogram.pairs()),
    )
