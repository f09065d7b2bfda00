"""How the time is spent: which levels are run, for how long, and which are not worth running any more.

A small model on two cores and a large one on a GPU follow the same protocol; only the seconds differ.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.calibrate.slo import Slo
from engine.calibrate.workload import Workload
from engine.config import SchedulerConfig

TARGET_SHARE = 0.75  # of --max-minutes; the rest is room for a machine slower than it seemed
MOST_WINDOW_S = 20.0
MOST_WINDOW_REQUESTS = 40  # one after the other; a longer window of short requests teaches nothing more
MOST_VERIFICATION_S = 120.0
MOST_VERIFICATION_REQUESTS = 200
LEAST_WINDOW_S = 0.5
MOST_SOAK_SLICE_S = 5.0
PASSES = 2  # of the step map: a slow stretch of the machine seldom falls on the same level twice
OPENING_SHARE = 2.0  # of a level's windows, at most, that its opening bursts may take; their steps teach as well
REFERENCE_SHARE = 0.6  # of a level's windows
VERIFICATION_WINDOWS = 3.0
SIMULATION_S_PER_OUTPUT_TOKEN = 0.08  # about 10,000 simulated requests
MOST_SIMULATION_S = 25.0
REFERENCE_CONCURRENCY = {"cpu": 4, "cuda": 8}
UNKNOWN_REFERENCE = 8  # of a black box
UNKNOWN_ROWS = 256
WANTED_LEVELS = 6
LEAST_GAIN = 0.03
MOST_TPOT = 3.0  # times the SLO


@dataclass(frozen=True, slots=True)
class Pace:
    """One request alone: seconds for its whole prompt, and for each token after the first."""

    prefill_s: float
    token_s: float

    def request_s(self, workload: Workload) -> float:
        return self.prefill_s + self.token_s * max(0.0, workload.mean[1] - 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """Levels of the step map, ascending, the seconds of each window, and how many times each level is run.

    `verification_s` is for everything in open loop: one level in the quick tier, the whole sweep in the others.
    """

    reference: int
    ladder: tuple[int, ...]
    window_s: float
    reference_s: float
    verification_s: float
    simulation_s: float
    total_s: float
    passes: int = 1

    @property
    def after_s(self) -> float:
        """What must be left when the step map ends."""
        return self.simulation_s + self.verification_s + self.reference_s

    def verification_within(self, rate: float, elapsed_s: float, max_s: float) -> float:
        """Seconds for the verification: what the step map left over, and never into the bound of the whole run."""
        most = min(MOST_VERIFICATION_S, MOST_VERIFICATION_REQUESTS / rate)
        least = min(self.verification_s, max_s - elapsed_s - self.reference_s)
        spare = self.total_s - elapsed_s - self.reference_s
        return min(most, max(LEAST_WINDOW_S, least, spare))

    def opening_s(self, concurrency: int, pace: Pace) -> float:
        """How long the opening burst of N prompts may take before a level is given up."""
        return 5.0 + 5 * concurrency * pace.prefill_s


def plan_levels(
    pace: Pace,
    workload: Workload,
    limits: SchedulerConfig | None,
    device: str,
    elapsed_s: float,
    max_s: float,
    map_share: float = 1.0,
) -> Plan:
    """Share what is left of the time among reference, step map, simulation and verification.

    A level fits when its opening bursts take no longer than twice its windows, and its requests fit into KV
    memory, as far as the limits are known. With a `map_share` below 1 the rest of the time is kept for a sweep. Of a
    black box, whose steps nobody sees, each level is run once.
    """
    total = TARGET_SHARE * max_s
    target = total if map_share == 1 else elapsed_s + map_share * max(0.0, total - elapsed_s)
    simulation = min(MOST_SIMULATION_S, SIMULATION_S_PER_OUTPUT_TOKEN * workload.mean[1])
    left = max(0.0, target - elapsed_s - simulation)
    windows = VERIFICATION_WINDOWS if map_share == 1 else 0.0
    passes = 1 if limits is None else PASSES
    ladder: tuple[int, ...] = (1,)
    for top in _doublings(_most_at_once(limits, workload)):
        longer = _with_midpoints(top)
        if passes * top * pace.prefill_s > OPENING_SHARE * _level_s(left, longer, pace, passes, windows):
            break
        ladder = longer
    most_s = min(MOST_WINDOW_S, MOST_WINDOW_REQUESTS * pace.request_s(workload))
    level_s = max(passes * LEAST_WINDOW_S, min(most_s, _level_s(left, ladder, pace, passes, windows)))
    return Plan(
        reference=min(REFERENCE_CONCURRENCY.get(device, UNKNOWN_REFERENCE), ladder[-1]),
        ladder=ladder,
        window_s=level_s / passes,
        reference_s=REFERENCE_SHARE * level_s,
        verification_s=windows * level_s if windows else total - target,
        simulation_s=simulation,
        total_s=max(total, elapsed_s),
        passes=passes,
    )


def _most_at_once(limits: SchedulerConfig | None, workload: Workload) -> int:
    if limits is None:
        return UNKNOWN_ROWS
    return min(limits.rows, max(1, (limits.num_blocks - 1) // limits.blocks_for(round(sum(workload.mean)))))


def _doublings(most: int) -> Iterable[int]:
    level = 1
    while level <= most:
        yield level
        level *= 2


def _with_midpoints(top: int) -> tuple[int, ...]:
    """1, 2, 4, … top; with midpoints from the top down while that makes too few levels to judge a model by."""
    levels = list(_doublings(top))
    midpoints = [3 * level // 2 for level in levels[1:-1]][::-1]
    missing = max(0, WANTED_LEVELS - len(levels))
    return tuple(sorted(levels + midpoints[:missing]))


def _level_s(left_s: float, ladder: tuple[int, ...], pace: Pace, passes: int, verification_windows: float) -> float:
    """Seconds that a level's windows can have together when all levels of a ladder are run."""
    reference = min(REFERENCE_CONCURRENCY["cuda"], ladder[-1])
    openings = (passes * sum(ladder) + 2 * reference) * pace.prefill_s
    return (left_s - openings) / (len(ladder) + 2 * REFERENCE_SHARE + verification_windows)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a level of the step map showed, as far as it decides on others."""

    output_tokens_per_s: float
    itl_gap_mean_ms: float | None
    preemptions: int


def worth_running(concurrency: int, seen: Mapping[int, Outcome], slo: Slo) -> bool:
    """False above a level that thrashed KV memory or was three times too slow, or after two doublings without gain."""
    below = [level for level in seen if level < concurrency]
    doublings = sorted(level for level in below if level.bit_count() == 1)
    gains = [
        seen[high].output_tokens_per_s / seen[low].output_tokens_per_s - 1
        for low, high in itertools.pairwise(doublings)
        if seen[low].output_tokens_per_s
    ]
    flat = any(first < LEAST_GAIN and second < LEAST_GAIN for first, second in itertools.pairwise(gains))
    return not flat and not any(_overloaded(seen[level], slo) for level in below)


def _overloaded(outcome: Outcome, slo: Slo) -> bool:
    gap = outcome.itl_gap_mean_ms
    return outcome.preemptions > 0 or (gap is not None and gap > MOST_TPOT * slo.tpot_p95_ms)


SWEEP_WINDOW_S = 60.0
LEAST_SWEEP_WINDOW_S = 5.0
SWEEP_SHARES = (0.8, 0.95, 1.0, 1.05, 1.2)  # of the predicted rate
SWEEP_RUNS = 2  # of each, with seeds of their own
SWEEP_RESERVE = 1.2  # times the runs of the sweep are planned for: some are left for replication
LEAST_WARM_IN_S = 5.0
MOST_EDGE_SHARE = 0.5  # of a window, for each of warm-in and tail


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """One open-loop run. What is due in the window counts; what comes in the tail keeps the server busy until then."""

    warm_in_s: float
    window_s: float
    tail_s: float

    @property
    def run_s(self) -> float:
        return self.warm_in_s + self.window_s + self.tail_s


def plan_sweep(rate: float, service_s: float, left_s: float, runs: int, fewest_requests: int) -> SweepPlan | None:
    """Windows of a minute, or as long as the time left allows for so many runs; None when not even the fewest requests
    would be due in one. `service_s` is how long a request takes at that rate."""
    warm_in = max(LEAST_WARM_IN_S, 2 * service_s)
    wanted = max(SWEEP_WINDOW_S, fewest_requests / rate)
    each = left_s / (SWEEP_RESERVE * runs)
    window = min(wanted, max(each - warm_in - service_s, each / (1 + 2 * MOST_EDGE_SHARE)))
    if window < LEAST_SWEEP_WINDOW_S or window * rate < fewest_requests:
        return None
    edge = MOST_EDGE_SHARE * window
    return SweepPlan(min(warm_in, edge), window, min(service_s, edge))
