"""Scheduler and block pool alone, without a model: steps per second with 64 requests running.

    python -m benchmarks.scheduler

Queues of different lengths are stepped in turn, a burst each, and timed by this thread's own CPU time, so that all meet
the same neighbours on the machine; what counts is the ratio of their costs. Requests end and are replaced from the
queue, as in service.
"""

import argparse
import gc
import random
import statistics
import time

from engine.config import SchedulerConfig
from engine.request import Request, SamplingParams
from engine.scheduler import Scheduler

BURST = 200
PROMPT_TOKENS = 64


class Load:
    """A scheduler that always has as many requests running as fit, and as many waiting behind them."""

    def __init__(self, running: int, waiting: int) -> None:
        self.chance = random.Random(waiting)
        blocks = running * 16 + 64
        self.scheduler = Scheduler(SchedulerConfig(max_batch=running, token_budget=512, num_blocks=blocks))
        self.added = 0
        self.refill(running + waiting)

    def refill(self, requests: int) -> None:
        for _ in range(requests):
            prompt = [self.chance.randrange(50_000) for _ in range(PROMPT_TOKENS)]
            params = SamplingParams(max_tokens=self.chance.randint(100, 400), ignore_eos=True)
            self.scheduler.submit(Request(self.added, prompt, params))
            self.added += 1

    def burst(self) -> float:
        """Microseconds of CPU time a step, the adding of requests left out."""
        finished = 0
        started = time.thread_time()
        for _ in range(BURST):
            step = self.scheduler.plan()
            tokens = [7] * (len(step.decodes) + len(step.prefills))
            finished += len(self.scheduler.commit(step, tokens))
        elapsed = time.thread_time() - started
        self.refill(finished)
        return elapsed / BURST * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--running", type=int, default=64)
    parser.add_argument("--waiting", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    loads = {waiting: Load(args.running, waiting) for waiting in args.waiting}
    gc.freeze()  # the queues are this script's load, and not its garbage
    costs: dict[int, list[float]] = {waiting: [] for waiting in loads}
    for number in range(args.rounds + 2):  # two to warm up
        for waiting, load in loads.items():
            cost = load.burst()
            if number >= 2:
                costs[waiting].append(cost)
    first = statistics.median(costs[args.waiting[0]])
    print(f"{args.running} running; medians of {args.rounds} bursts of {BURST} steps, in turn")
    print(f"{'waiting':>9}{'steps/s':>10}{'µs a step':>11}{'fastest':>9}{'cost of first':>15}")
    for waiting, seen in costs.items():
        cost = statistics.median(seen)
        print(f"{waiting:9,}{1e6 / cost:10,.0f}{cost:11.1f}{min(seen):9.1f}{cost / first:14.2f}x")


if __name__ == "__main__":
    main()
