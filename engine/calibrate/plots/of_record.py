"""The charts of a record: throughput against time per output token, and both latencies against the rate."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from engine.calibrate.front import Front, FrontPoint, front_of, front_points
from engine.calibrate.interpolate import monotone_curve
from engine.calibrate.plots.chart import Axis, Chart, Rule, Series, Span, Table, figure
from engine.calibrate.record import Record
from engine.calibrate.record_derived import CurvePoint

CURVE_STEPS = 60  # of a smooth line
OTHER_TRAFFIC: frozenset[str] = frozenset(
    {"bursty", "prefix_sharing"}
)  # open-loop levels beside the workload asked for
SLO_TIMES = 2.5  # the limit, that a latency axis reaches to where the curve goes beyond it
Metric = Literal["ttft_p95_ms", "tpot_p95_ms"]
NAMES: dict[Metric, tuple[str, str]] = {
    "ttft_p95_ms": ("Time to first token", "95 % of first tokens come within {} ms"),
    "tpot_p95_ms": ("Time per output token", "95 % of answers take at most {} ms for an output token"),
}
BINDING = {
    "ttft_p95_ms": "the time to first token",
    "tpot_p95_ms": "the time per output token",
    "saturation": "that the replica is busy all the time",
}


class Seen(NamedTuple):
    """A measured p95, and of how much."""

    requests_per_s: float
    p95_ms: float
    of: str


def charts(record: Record) -> Iterator[Chart]:
    """Those that the record has numbers for."""
    points = front_points(record)
    front = front_of(points)
    if front:
        yield _throughput(record, points, front)
    for metric in NAMES:
        chart = _latency(record, metric)
        if chart:
            yield chart


def _throughput(record: Record, points: list[FrontPoint], front: Front) -> Chart:
    limit = record.slo.tpot_p95_ms
    most = max(point.tpot_ms for point in points)
    within = [point.tpot_ms for point in front.points]
    ends = (within[0], min(within[-1], limit) if within[0] < limit else within[-1])
    xs = [ends[0] + (within[-1] - ends[0]) * step / CURVE_STEPS for step in range(CURVE_STEPS + 1)]
    shown = Rule("x", limit, f"SLO {figure(limit)} ms")
    return Chart(
        id="throughput",
        title="Throughput against time per output token",
        sentence=_throughput_in_words(points, front, limit),
        x=Axis("mean time per output token, ms", 0.0, max(1.08 * most, 1.15 * limit if limit < 2 * most else 0.0)),
        y=Axis("output tokens/s", 0.0, 1.12 * max(point.output_tokens_per_s for point in points)),
        series=(
            Series("front", "line", tuple(xs), tuple(front.at(x).output_tokens_per_s for x in xs)),
            Series(
                "measured, at a time",
                "marks",
                tuple(point.tpot_ms for point in points),
                tuple(point.output_tokens_per_s for point in points),
                labels=tuple(_labels(points)),
            ),
        ),
        rules=(shown,) if limit < 2 * most else (),
        table=Table(
            ("requests at a time", "output tokens/s", "mean ms per output token", "on the front"),
            tuple(
                (
                    figure(point.concurrency),
                    figure(point.output_tokens_per_s),
                    figure(point.tpot_ms),
                    "yes" if point in front.points else "no",
                )
                for point in points
            ),
        ),
    )


def _labels(points: list[FrontPoint]) -> Iterator[str]:
    """Requests at a time, written once where a level was repeated."""
    seen: set[int | None] = {None}
    for point in points:
        yield "" if point.concurrency in seen else str(point.concurrency)
        seen.add(point.concurrency)


def _throughput_in_words(points: list[FrontPoint], front: Front, limit: float) -> str:
    few, many = points[0], points[-1]
    if limit < front.points[0].tpot_ms:
        end = f"No level keeps the {figure(limit)} ms of the SLO, even on average."
    else:
        end = (
            f"Up to the SLO's {figure(limit)} ms it is at most {figure(front.at(limit).output_tokens_per_s)}. "
            "A closed loop never queues: random arrivals sustain less."
        )
    return (
        f"From {few.concurrency} to {many.concurrency} requests at a time, throughput goes from "
        f"{figure(few.output_tokens_per_s)} to {figure(many.output_tokens_per_s)} output tokens/s and the mean time "
        f"per output token from {figure(few.tpot_ms)} to {figure(many.tpot_ms)} ms. {end}"
    )


def _latency(record: Record, metric: Metric) -> Chart | None:
    simulated = _apart(record.derived.curve)
    measured = list(_measured(record, metric))
    if len(simulated) < 2 and not measured:
        return None
    limit: float = getattr(record.slo, metric)
    rate = record.derived.max_rate
    curve = "simulated" if record.source.file_sha256 is None else f"measured by {record.source.tool}"
    series = tuple(_latency_series(curve, simulated, measured, metric))
    rates = [x for one in series for x in one.x]
    rules = [Rule("y", limit, f"SLO {figure(limit)} ms")]
    if rate:
        rules.append(Rule("x", rate.requests_per_s, f"λ* {figure(rate.requests_per_s)}/s"))
    return Chart(
        id=metric.removesuffix("_p95_ms"),
        title=f"{NAMES[metric][0]} against rate",
        sentence=_latency_in_words(record, metric, simulated),
        x=Axis("requests/s", 0.0, 1.04 * max([*rates, rate.high if rate else 0.0])),
        y=Axis(f"p95 {NAMES[metric][0].lower()}, ms", 0.0, _top(series, limit)),
        series=series,
        rules=tuple(rules),
        span=Span(rate.low, rate.high) if rate else None,
        table=_latency_table(curve, simulated, measured, metric),
    )


def _top(series: tuple[Series, ...], limit: float) -> float:
    """The whole curve, or as far above the limit as one still sees where it crosses."""
    highest = max(max((*one.y, *one.high)) for one in series)
    return 1.08 * max(min(highest, SLO_TIMES * limit), 1.1 * limit)


def _measured(record: Record, metric: Metric) -> Iterator[Seen]:
    """What the runs of a sweep are on average at each rate; or else open-loop levels with requests enough for a p95."""
    sweep = record.derived.sweep
    if sweep is not None:
        for point in sweep.points:
            of = f"{point.runs} {'run' if point.runs == 1 else 'runs'}"
            yield Seen(point.requests_per_s, getattr(point, metric), of)
        return
    for level in record.levels:
        found = level.ttft_ms if metric == "ttft_p95_ms" else level.tpot_ms
        if level.mode == "open" and level.purpose not in OTHER_TRAFFIC and level.offered_requests_per_s and found.p95:
            yield Seen(level.offered_requests_per_s, found.p95, f"n = {figure(found.n)}")


def _latency_series(curve: str, simulated: list[CurvePoint], measured: list[Seen], metric: Metric) -> Iterator[Series]:
    if simulated:
        low, high = metric.replace("_ms", "_low_ms"), metric.replace("_ms", "_high_ms")
        values = [getattr(point, metric) for point in simulated]
        bounds = [(getattr(point, low), getattr(point, high)) for point in simulated]
        yield Series(
            curve,
            "line",
            tuple(point.requests_per_s for point in simulated),
            tuple(values),
            low=tuple(value if one[0] is None else one[0] for value, one in zip(values, bounds, strict=True)),
            high=tuple(value if one[1] is None else one[1] for value, one in zip(values, bounds, strict=True)),
        )
    if measured:
        yield Series(
            "measured, open loop",
            "marks",
            tuple(point.requests_per_s for point in measured),
            tuple(point.p95_ms for point in measured),
            labels=tuple(point.of for point in measured),
        )


def _latency_in_words(record: Record, metric: Metric, simulated: list[CurvePoint]) -> str:
    rate, limit = record.derived.max_rate, getattr(record.slo, metric)
    if rate is None:
        return f"The record states no rate: {record.grade.basis}. The SLO allows {figure(limit)} ms."
    words = ""
    if len(simulated) > 1:
        curve = monotone_curve([p.requests_per_s for p in simulated], [getattr(p, metric) for p in simulated])
        kept = NAMES[metric][1].format(figure(curve(rate.low)))
        words = f"At the planning rate of {figure(rate.low)} requests/s, {kept}; the SLO allows {figure(limit)} ms. "
    stated = f"{figure(rate.requests_per_s)} requests/s ({figure(rate.low)} to {figure(rate.high)})"
    if record.derived.binding == metric:
        return f"{words}This is what limits the rate to {stated}."
    return f"{words}What limits the rate to {stated} is {BINDING.get(record.derived.binding or '', 'not known')}."


def _apart(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """By rate; of several at one rate, that of the most runs."""
    best = {point.requests_per_s: point for point in sorted(points, key=lambda point: point.runs)}
    return [best[rate] for rate in sorted(best)]


def _latency_table(curve: str, simulated: list[CurvePoint], measured: list[Seen], metric: Metric) -> Table:
    low, high = metric.replace("_ms", "_low_ms"), metric.replace("_ms", "_high_ms")
    rows = [
        (
            point.requests_per_s,
            figure(getattr(point, metric)),
            f"{figure(getattr(point, low))} to {figure(getattr(point, high))}" if getattr(point, low) else "–",
            f"{curve}, {point.runs} {'run' if point.runs == 1 else 'runs'}",
        )
        for point in simulated
    ]
    rows += [(point.requests_per_s, figure(point.p95_ms), "–", f"measured, {point.of}") for point in measured]
    return Table(
        ("requests/s", "p95, ms", "95 % interval", "from"),
        tuple((figure(rate), *texts) for rate, *texts in sorted(rows)),
    )
