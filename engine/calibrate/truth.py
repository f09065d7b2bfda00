"""`python -m engine.calibrate.truth`: is a calibration right? Whole calibrations of servers whose true rate is known.

The server is the engine's own scheduler on a virtual clock; a step takes a known time, give or take a few percent. Its
true λ* comes from simulations far longer than a calibration can be. For each seed a calibration is run from its first
phase to its last, knowing nothing of that; the table says how far off it was, and how often its interval held the
truth.
"""

import argparse
import dataclasses
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.level import ClientLog, LevelLog, LevelSpec
from engine.calibrate.load import run_level
from engine.calibrate.measured import Measured
from engine.calibrate.protocol import TIERS, Ask, TierName, calibrate
from engine.calibrate.simulator import OpenLoad, StepTime
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets import TargetFacts
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.workload import Lengths, Workload, workload_fixed
from engine.config import ModelShape, SchedulerConfig

CLOSE = 0.03  # of the truth
NOISE = 0.03  # standard deviation of a step's time
TRUE_RUNS = 24
TRUE_REQUESTS = 8000  # a run
TRUE_SHARES = (0.94, 0.98, 1.02, 1.06)
STEP = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002)
LIMITS = SchedulerConfig(max_batch=32, token_budget=512, block_size=16, num_blocks=4096, max_model_len=4096)
MIX = Workload("mix", (Lengths(600, 20), Lengths(60, 60)), (1.0, 2.0))
SHAPE = ModelShape.from_config(
    {
        "model_type": "llama",
        "num_attention_heads": 4,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "vocab_size": 300,
        "max_position_embeddings": 4096,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """A server's traffic and limits; which of them binds, and whether near saturation, decides how hard it is."""

    name: str
    workload: Workload
    slo: Slo


SCENARIOS = (
    Scenario("TPOT binds", workload_fixed(200, 40), Slo(600, 60)),
    Scenario("TTFT binds, near saturation", workload_fixed(200, 40), Slo(500, 200)),
    Scenario("mixed lengths, TTFT binds", MIX, Slo(250, 120)),
)


class BlackBox(SimulatedTarget):
    """The same server seen as an endpoint is: no scheduler, no step log, only what a client sees."""

    def start(self, stopped: Callable[[], bool]) -> TargetFacts:
        return dataclasses.replace(super().start(stopped), scheduler=None)

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        log = run_level(self.backend, spec, stopped=stopped, report=report, remote=True)
        opens, closes = log.window or (0.0, 0.0)
        within = [step for step in log.steps if opens < step.ended_s <= closes]
        prompt, output = sum(step.prefill_tokens for step in within), sum(step.sampled for step in within)
        return dataclasses.replace(log, steps=[], client=ClientLog(prompt, output, 0.0, 0.0, {}))


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What one calibration said, and what it took: minutes of the server's time, seconds of ours."""

    rate: float | None
    low: float | None
    high: float | None
    runs: int
    minutes: float
    wall_s: float


def noisy(step_ms: StepTime, seed: int) -> StepTime:
    """The same times, each off by a few percent, differently for each seed."""
    factors = (1 + NOISE * np.random.default_rng([seed, 77]).standard_normal(99_991)).tolist()
    steps = iter(range(2**62))

    def timed(*work: int) -> float:
        factor: float = factors[next(steps) % len(factors)]
        return step_ms(*work) * factor

    return timed


def found_of(scenario: Scenario, tier: TierName, black_box: bool, minutes: float, seed: int) -> Found:
    """One whole calibration."""
    started = time.perf_counter()
    target = (BlackBox if black_box else SimulatedTarget)(LIMITS, noisy(STEP.ms, seed))
    ask = Ask(SHAPE, scenario.workload, scenario.slo, seed, minutes, tier)
    measured = calibrate(ask, target, lambda: False, lambda *said: None)
    rate, low, high = _stated(measured)
    runs = len(measured.sweep.runs) if measured.sweep else 0
    return Found(rate, low, high, runs, target.clock() / 60, time.perf_counter() - started)


def _stated(measured: Measured) -> tuple[float | None, float | None, float | None]:
    said = measured.sweep or measured.max_rate
    return (said.requests_per_s, said.low, said.high) if said else (None, None, None)


def true_center(scenario: Scenario) -> float:
    """λ* of the true step time as the quick tier would predict it: where to look for the truth."""
    search = Search(LIMITS, scenario.workload, scenario.slo, seed=9_999)
    saturation = LIMITS.max_batch * 1000 / (STEP.ms(LIMITS.max_batch, 0, 0, 0) * scenario.workload.mean[1])
    return max_rate(search, STEP.ms, [], 0.0, saturation).requests_per_s or saturation


def true_p95s(scenario: Scenario, center: float, run: int) -> tuple[tuple[float, float], ...]:
    """p95 TTFT and TPOT of one very long run, at each of TRUE_SHARES of a rate."""
    search = Search(LIMITS, scenario.workload, scenario.slo, seed=0)
    search.loads = [OpenLoad.draw(scenario.workload, TRUE_REQUESTS, [31_337, run])]
    search.warm_in = TRUE_REQUESTS // 20
    points = [search.point(STEP.ms, share * center, 1) for share in TRUE_SHARES]
    return tuple((point.ttft_p95_ms[0], point.tpot_p95_ms[0]) for point in points)


def true_rate(scenario: Scenario, center: float, runs: Sequence[tuple[tuple[float, float], ...]]) -> float:
    """Where the mean over all long runs crosses the first limit."""
    roots = []
    for place, limit in enumerate((scenario.slo.ttft_p95_ms, scenario.slo.tpot_p95_ms)):
        logs = [math.log(statistics.fmean(run[share][place] for run in runs)) for share in range(len(TRUE_SHARES))]
        rates = [math.log(share * center) for share in TRUE_SHARES]
        roots.append(float(np.interp(math.log(limit), logs, rates)))
    return math.exp(min(roots))


def row_of(scenario: Scenario, truth: float, found: Sequence[Found]) -> str:
    """A line of the table."""
    stated = [one for one in found if one.rate is not None and one.low is not None and one.high is not None]
    errors = [(one.rate or 0) / truth - 1 for one in stated]
    close = sum(abs(error) <= CLOSE for error in errors)
    covered = sum((one.low or 0) <= truth <= (one.high or 0) for one in stated)
    half = statistics.fmean(((one.high or 0) - (one.low or 0)) / 2 / (one.rate or 1) for one in stated) if stated else 0
    return (
        f"{scenario.name:<28} {truth:>8.3f} {len(stated):>4}/{len(found):<3} "
        f"{100 * statistics.fmean(errors) if errors else math.nan:>+7.2f} "
        f"{100 * statistics.stdev(errors) if len(errors) > 1 else math.nan:>6.2f} "
        f"{100 * close / len(found):>8.0f} {100 * covered / len(found):>8.0f} {100 * half:>7.1f} "
        f"{statistics.fmean(one.runs for one in found):>5.1f} {statistics.fmean(one.minutes for one in found):>7.1f} "
        f"{statistics.fmean(one.wall_s for one in found):>7.1f}"
    )


HEADER = (
    f"{'scenario':<28} {'true/s':>8} {'stated':>8} {'bias %':>7} {'sd %':>6} {'<= 3 %':>8} {'covered':>8} "
    f"{'half %':>7} {'runs':>5} {'minutes':>7} {'wall s':>7}"
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.calibrate.truth", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=30, help="calibrations of each scenario")
    parser.add_argument("--tier", choices=list(TIERS), default="standard")
    parser.add_argument("--max-minutes", type=float, help="default: the tier's")
    parser.add_argument("--black-box", action="store_true", help="without the scheduler and its step log")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scenario", type=int, action="append", choices=range(len(SCENARIOS)), help="default: all")
    args = parser.parse_args(arguments)
    minutes = args.max_minutes or TIERS[args.tier].minutes
    print(f"{args.tier} tier{', black box' if args.black_box else ''}, {args.seeds} seeds\n{HEADER}", flush=True)
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for scenario in [SCENARIOS[number] for number in args.scenario or range(len(SCENARIOS))]:
            center = true_center(scenario)
            long_runs = pool.map(partial(true_p95s, scenario, center), range(TRUE_RUNS), chunksize=1)
            one = partial(found_of, scenario, args.tier, args.black_box, minutes)
            found = pool.map(one, range(args.seeds), chunksize=1)
            print(row_of(scenario, true_rate(scenario, center, long_runs), found), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
