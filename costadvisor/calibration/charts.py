"""The chart of a record: time per output token against throughput, a point for each closed-loop level."""

from costadvisor.calibration.page import curve_levels
from costadvisor.charts.chart import Axis, LineChart, ReferenceLine, Series, Table
from costadvisor.common.templatetags.figures import quantity
from engine.calibrate.record import Record

FEWEST_POINTS = 2


def latency_chart(record: Record) -> LineChart | None:
    """None where the record has too few levels for a line."""
    levels = curve_levels(record.levels)
    if len(levels) < FEWEST_POINTS:
        return None
    points = [(level.concurrency or 0, level.output_tokens_per_s or 0.0, level.tpot_ms.mean or 0.0) for level in levels]
    few, many = points[0], points[-1]
    target_ms = record.slo.tpot_p95_ms
    return LineChart(
        id="latency",
        title="Time per output token against throughput",
        sentence=(
            f"From {few[0]} to {many[0]} requests at a time, throughput goes from {quantity(few[1])} to"
            f" {quantity(many[1])} output tokens per second, and the mean time per output token from"
            f" {quantity(few[2])} to {quantity(many[2])} ms; the target for 95 % of requests is"
            f" {quantity(target_ms)} ms."
        ),
        x=Axis("Output tokens per second", "count", from_zero=True),
        y=Axis("Mean time per output token, ms", "count", from_zero=True),
        series=(Series("Measured, closed loop", tuple(x for _, x, _ in points), tuple(y for _, _, y in points)),),
        lines=(ReferenceLine("y", target_ms, "target for 95 % of requests"),),
        table=Table(
            ("At a time", "Output tokens per second", "Mean time per output token, ms"),
            tuple((str(n), quantity(x), quantity(y)) for n, x, y in points),
        ),
    )
