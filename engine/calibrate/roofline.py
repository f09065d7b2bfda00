"""A replica on another GPU, by what bounds each part of a step: memory bandwidth, arithmetic, or neither.

    a      weights are read once: bandwidth, as far as the datasheet says that takes; launching and the host: unscaled
    mixed  more launches: unscaled
    b, c, e  products for each sequence and prompt token, and attention between prompt tokens: arithmetic
    d      keys and values that decodes read: bandwidth

Datasheet ratios are not what software reaches. Throughput that others published of one model on two GPUs lies between
the two ratios, or outside them by no more than `WIDENED` (`fixtures/gpu_pairs.csv`; a test holds it to that), so the
bounds are all terms by the smaller ratio and all by the larger, each `WIDENED` further out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.calibrate.capacity import COARSE_SHARES, Binding, Search, crossing, monotone
from engine.calibrate.gpu_facts import GpuFacts
from engine.calibrate.level import LevelSpec, RequestRow
from engine.calibrate.record_derived import CurvePoint
from engine.calibrate.simulator import OpenLoad, StepTime, simulate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import Bend, StepModel
from engine.calibrate.workload import Workload
from engine.config import SchedulerConfig

WIDENED = 1.25
SATURATED_REQUESTS = 5  # that each place of a full batch serves, to find the rate of a saturated replica


@dataclass(frozen=True, slots=True)
class Ratios:
    """How many times as fast as one GPU another reads memory, and multiplies."""

    bandwidth: float
    flops: float

    @classmethod
    def between(cls, old: GpuFacts, new: GpuFacts, quantization: str | None) -> "Ratios":
        return cls(new.bandwidth_gb_per_s / old.bandwidth_gb_per_s, new.tflops(quantization) / old.tflops(quantization))

    @property
    def slowest(self) -> float:
        return min(self.bandwidth, self.flops) / WIDENED

    @property
    def fastest(self) -> float:
        return max(self.bandwidth, self.flops) * WIDENED

    @property
    def mean(self) -> float:
        return math.sqrt(self.bandwidth * self.flops)


def scaled_model(model: StepModel, weights_ms: float, ratios: Ratios) -> StepModel:
    """The model of a step on the other GPU; reading the weights takes `weights_ms` of a step on this one."""

    def start(ms: float) -> float:
        read = min(max(ms, 0.0), weights_ms)
        return ms - read + read / ratios.bandwidth

    return StepModel(
        a_decode=start(model.a_decode),
        a_prefill=start(model.a_prefill),
        mixed=model.mixed,
        b=model.b / ratios.flops,
        c=model.c / ratios.flops,
        d=model.d / ratios.bandwidth,
        e=model.e / ratios.flops,
        bends=tuple(Bend(bend.knot, bend.b / ratios.flops, bend.d / ratios.bandwidth) for bend in model.bends),
    )


def bounds(model: StepModel, weights_ms: float, ratios: Ratios) -> tuple[StepTime, StepTime]:
    """Step times that are surely too long, and too short: every term by one ratio, all of it widened."""
    low, high = sorted((ratios.bandwidth, ratios.flops))
    slow = scaled_model(model, weights_ms, Ratios(low, low))
    fast = scaled_model(model, weights_ms, Ratios(high, high))

    def too_long(*work: int) -> float:
        return slow.ms(*work) * WIDENED

    def too_short(*work: int) -> float:
        return fast.ms(*work) / WIDENED

    return too_long, too_short


def saturated_per_s(config: SchedulerConfig, step_ms: StepTime, workload: Workload, seed: int) -> float:
    """Requests a second of a replica whose every place is taken, simulated in closed loop."""
    room = (config.num_blocks - 1) // config.blocks_for(math.ceil(sum(workload.mean)))
    places = max(1, min(config.rows, room))
    load = OpenLoad.draw(workload, places * (SATURATED_REQUESTS + 2), [seed, 0])
    # Served one step of a full batch after the other, a request takes about so long.
    mean_input, mean_output = workload.mean
    context = round(mean_input + mean_output / 2) * places
    prefill = step_ms(0, round(mean_input), 0, round(mean_input**2 / 2))
    request_s = (mean_output * step_ms(places, 0, context, 0) + places * prefill) / 1000
    spec = LevelSpec("", "", 0, load.lengths, SATURATED_REQUESTS * request_s, math.inf, concurrency=places)
    log = simulate(config, step_ms, spec)
    opened, closed = log.window or (0.0, math.inf)
    tokens = sum(_tokens_between(row, opened, closed) for row in log.requests)
    return tokens / (closed - opened) / mean_output


def _tokens_between(row: RequestRow, opened: float, closed: float) -> float:
    """Of a request's output, as if it came evenly from its first token to its last."""
    if row.t_first is None or row.t_last is None:
        return 0.0
    if row.t_first == row.t_last:
        return row.output if opened < row.t_first <= closed else 0.0
    inside = min(row.t_last, closed) - max(row.t_first, opened)
    return row.output * max(0.0, inside) / (row.t_last - row.t_first)


def coarse_rate(search: Search, step_ms: StepTime) -> float | None:
    """λ* by one run of the simulation at each of a few rates; None where even a lone request misses the SLO."""
    most = saturated_per_s(search.config, step_ms, search.workload, search.seed)
    points = [search.point(step_ms, share * most, runs=1) for share in COARSE_SHARES]
    rate, _ = search.root(points, [0])
    return rate


def slow_motion(
    curve: Sequence[CurvePoint], slo: Slo, ratio: float, lengths: tuple[float, float], kv_tokens: int
) -> tuple[float | None, Binding]:
    """λ* of a machine on which everything takes `1/ratio` as long, from p95 latencies at several rates of this one.

    At `ratio` times the rate it shows the same film at another speed: latencies are the same ones, divided by `ratio`,
    and as many requests are under way, of mean `lengths` (prompt, answer), for which there is KV of `kv_tokens`. Beyond
    the highest rate of the curve nothing is claimed.
    """
    points = sorted(curve, key=lambda point: point.requests_per_s)
    rates = [point.requests_per_s for point in points]
    mean_input, mean_output = lengths
    held = [
        p.requests_per_s * (p.ttft_p95_ms + mean_output * p.tpot_p95_ms) / 1000 * (mean_input + mean_output)
        for p in points
    ]
    found: dict[Binding, float | None] = {
        "ttft_p95_ms": crossing(rates, monotone([p.ttft_p95_ms for p in points]), slo.ttft_p95_ms * ratio),
        "tpot_p95_ms": crossing(rates, monotone([p.tpot_p95_ms for p in points]), slo.tpot_p95_ms * ratio),
        "saturation": crossing(rates, monotone(held), kv_tokens),
    }
    first = min(found, key=lambda metric: found[metric] or 0.0)
    rate = found[first]
    if rate is None:
        return None, first
    return rate * ratio, first if rate < rates[-1] else "saturation"
