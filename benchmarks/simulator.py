"""The simulator's speed: alike steps taken at once beside one by one, and what a day and a week of a fleet take.

    python -m benchmarks.simulator [--day] [--week]

Times are this process's own CPU seconds, so that neighbours on the machine count for little; the two ways run in turn,
and what counts is their ratio. The replica is like a GPU's: a step takes 8 ms and a little more for each of its tokens.
`--day` adds a replica-day at 5 requests/s, all of it; `--week` a week of 8 replicas at 40 requests/s, three minutes of
each hour after a minute of warm-in.
"""

import argparse
import math
import resource
import statistics
import time
from dataclasses import dataclass

from engine.calibrate.fleet.arrivals import HourlyTraffic
from engine.calibrate.fleet.ask import FleetAsk, ReplicaModel
from engine.calibrate.fleet.simulation import Simulation
from engine.calibrate.fleet.tally import HourTally
from engine.calibrate.fleet.timeline import Timeline
from engine.calibrate.level import LevelLog
from engine.calibrate.load import run_level
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.simulator import OpenLoad, SimulatedBackend
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Lengths, Workload, workload_fixed
from engine.config import SchedulerConfig

STEP = StepModel(a_decode=8.0, a_prefill=9.0, mixed=0.5, b=0.05, c=0.02, d=0.00002, e=0.0000001)
ROOMY = SchedulerConfig(max_batch=256, token_budget=2048, num_blocks=8192)
CHAT = Lengths(512, 128)
REQUESTS = 1500
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    config: SchedulerConfig
    lengths: Lengths
    requests_per_s: float

    def run(self, backend: type[SimulatedBackend]) -> tuple[float, LevelLog]:
        """CPU seconds, and what came out."""
        load = OpenLoad.draw(Workload("fixed", (self.lengths,), (1.0,)), REQUESTS, 1)
        spec = load.level("", "", 0, self.requests_per_s, 0, math.inf)
        started = time.process_time()
        log = run_level(backend(self.config, STEP.ms), spec, keep_steps=False)
        return time.process_time() - started, log


CASES = (
    Case("5 requests/s", ROOMY, CHAT, 5.0),
    Case("20 requests/s", ROOMY, CHAT, 20.0),
    Case("32 rows, 95 % load", SchedulerConfig(max_batch=32, token_budget=2048, num_blocks=8192), CHAT, 18.5),
    Case("memory short, preempting", SchedulerConfig(token_budget=2048, num_blocks=120), Lengths(512, 512), 1.7),
    Case("long prompts in chunks", SchedulerConfig(num_blocks=8192), Lengths(7000, 128), 1.0),
)


class OneByOne(SimulatedBackend):
    """Each step planned and committed by the scheduler, as on a device."""

    @property
    def ahead(self) -> None:
        return None


def compare(case: Case) -> None:
    rounds = [(case.run(SimulatedBackend), case.run(OneByOne)) for _ in range(ROUNDS)]
    (at_once, log), (single, other) = rounds[0]
    at_once, single = (statistics.median(seconds) for seconds in zip(*[(a[0], b[0]) for a, b in rounds], strict=True))
    ratios = sorted(b[0] / a[0] for a, b in rounds)
    preempted = sum(row.preemptions for row in log.requests)
    print(
        f"{case.name:26}{1e6 * at_once / REQUESTS:12.0f}{1e6 * single / REQUESTS:12.0f}"
        f"{statistics.median(ratios):8.1f}x{ratios[0]:7.1f} to {ratios[-1]:4.1f}{preempted:12}"
        f"{deviation(log, other):14.0e}"
    )


def deviation(log: LevelLog, other: LevelLog) -> float:
    """The largest relative difference of throughput and of TTFT's and TPOT's p50, p95 and p99."""
    pairs = [(log.duration_s, other.duration_s)]
    for quantile in (0.50, 0.95, 0.99):
        one, two = (
            (
                nearest_rank([row.ttft_ms(open_loop=True) or 0.0 for row in each.requests], quantile),
                nearest_rank([row.tpot_ms or 0.0 for row in each.requests], quantile),
            )
            for each in (log, other)
        )
        pairs += zip(one, two, strict=True)
    return max(abs(a / b - 1) for a, b in pairs)


def fleet(name: str, replicas: int, requests_per_s: float, timeline: Timeline) -> None:
    model = ReplicaModel(ROOMY, STEP.ms, Slo(500, 20), plan_requests_per_s=10.0)
    traffic = HourlyTraffic(timeline, (requests_per_s,) * timeline.hours, workload_fixed(CHAT.input, CHAT.output))
    before, started = peak_mib(), time.process_time()
    total = HourTally.sum(Simulation(model, FleetAsk(replicas), traffic).run().hours)
    seconds = time.process_time() - started
    print(
        f"{name}: {seconds:.0f} s of CPU; {total.finished:,} requests counted, p95 TTFT "
        f"{total.ttft_ms.percentile(0.95):.1f} ms, p95 TPOT {total.tpot_ms.percentile(0.95):.2f} ms; "
        f"peak memory {before:.0f} MiB before, {peak_mib():.0f} MiB after",
        flush=True,
    )


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--day", action="store_true")
    parser.add_argument("--week", action="store_true")
    args = parser.parse_args()
    print(f"{REQUESTS} requests each; µs of CPU a request, medians of {ROUNDS} rounds in turn")
    print(f"{'':26}{'at once':>12}{'one by one':>12}{'ratio':>9}{'':15}{'preempted':>10}{'deviation':>14}")
    for case in CASES:
        compare(case)
    if args.day:
        fleet("a replica-day at 5 requests/s", 1, 5.0, Timeline(24))
    if args.week:
        fleet("a week of 8 replicas at 40 requests/s, sampled", 8, 40.0, Timeline(168, 240.0, 60.0))


if __name__ == "__main__":
    main()
