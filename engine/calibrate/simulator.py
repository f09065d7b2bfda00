"""The engine's own scheduler and block pool under a virtual clock: what a step plans is real, how long it takes is
given by a function of the step. Single replica."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.load import Stepped, run_level
from engine.calibrate.workload import Content, Lengths, Workload
from engine.calibrate.workload.prompts import marks
from engine.config import SchedulerConfig
from engine.request import Request, SamplingParams
from engine.scheduler import Scheduler
from engine.stats import StepRecord

# Milliseconds of a step from its decode sequences, prompt tokens, KV tokens that decodes read, query-key pairs of
# prompt tokens.
StepTime = Callable[[int, int, int, int], float]


class SimulatedBackend:
    """A replica whose steps take `step_ms(…)` milliseconds of virtual time.

    Prompts carry marks for tokens, alike where real prompts are. Where none shares a prefix with another, the prefix
    cache is left out of the simulation.
    Between an arrival, a finish and a prompt's chunk the scheduler plans the same decodes again and again; such steps
    are taken at once, with the same clock and the same blocks as one by one.
    """

    def __init__(self, config: SchedulerConfig, step_ms: StepTime) -> None:
        self.scheduler = Scheduler(replace(config, prefix_cache=False))
        self.prefix_cache = config.prefix_cache
        self.step_ms = step_ms
        self.clock_s = 0.0
        self._ids = itertools.count()

    def now(self) -> float:
        return self.clock_s

    def wait_until(self, when: float) -> None:
        self.clock_s = max(self.clock_s, when)

    @property
    def block_size(self) -> int:
        return self.scheduler.config.block_size

    def reset(self, spec: LevelSpec) -> None:
        pool = self.scheduler.pool
        pool.reset()
        pool.prefix_cache = self.prefix_cache and spec.shares_prefixes

    def submit(self, lengths: Lengths) -> Request:
        params = SamplingParams(max_tokens=lengths.output, ignore_eos=True)
        number = next(self._ids)
        request = Request(number, marks(lengths, number), params)
        self.scheduler.submit(request)
        return request

    def cancel(self, request: Request) -> None:
        self.scheduler.cancel(request)

    def step(self, until: float) -> Stepped:
        repeats = self._repeatable() if self.clock_s < until else 0
        if repeats > 1:
            return self._leap(repeats, until)
        step = self.scheduler.plan()
        started = self.clock_s
        ms = self.step_ms(len(step.decodes), step.prefill_tokens, step.decode_context, step.prefill_pairs)
        self.clock_s += ms / 1000
        sampled = step.sampled
        self.scheduler.commit(step, [0] * len(sampled))
        return Stepped(StepRecord.of(step, self.scheduler, started, self.clock_s), sampled)

    def _repeatable(self) -> int:
        """How many steps will only decode what runs now: memory permitting, until one finishes, which is left out."""
        running = self.scheduler.running
        if self.scheduler.waiting or not all(map(_decodes, running)):
            return 0
        left = min(len(r.prompt) + r.params.max_tokens - len(r.tokens) for r in running) - 1
        new_blocks = sum(self._blocks_missing(request, left) for request in running)
        return left if new_blocks <= self.scheduler.pool.available else 0

    def _blocks_missing(self, request: Request, steps: int) -> int:
        return max(0, self.scheduler.config.blocks_for(request.computed + steps) - len(request.blocks))

    def _leap(self, most: int, until: float) -> Stepped:
        """Decode everything that runs up to `most` times, as long as a step starts before `until`."""
        running = list(self.scheduler.running)
        started = self.clock_s
        context = sum(request.computed + 1 for request in running)
        repeats = 0
        while repeats < most and self.clock_s < until:
            self.clock_s += self.step_ms(len(running), 0, context, 0) / 1000
            context += len(running)
            repeats += 1
        for request in running:
            self.scheduler.grow(request, self._blocks_missing(request, repeats))
            request.tokens += [0] * repeats
            request.planned += repeats
            request.computed += repeats
        ms = (self.clock_s - started) * 1000
        free = self.scheduler.pool.available
        record = StepRecord(started, ms, len(running), 0, context, 0, 0, 0, len(running), free)
        return Stepped(record, running, repeats)


def _decodes(request: Request) -> bool:
    """Whether its next step is a decode, and not a prompt's last token."""
    return request.outstanding == 1 and len(request.tokens) > len(request.prompt)


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Open-loop traffic with its randomness drawn once, so that the same requests can be sent at any rate.

    Arrivals are stretched to that rate exactly: a few hundred Poisson arrivals miss their own mean by several percent,
    which would be the largest error of all.
    """

    lengths: tuple[Lengths, ...]
    unit_arrivals: tuple[float, ...]  # seconds at one request per second
    content: Content

    @classmethod
    def draw(cls, workload: Workload, requests: int, seed: int | Sequence[int]) -> "OpenLoad":
        rng = np.random.default_rng(seed)
        lengths, arrivals = workload.traffic(requests, rng)
        return cls(lengths, tuple(arrivals.tolist()), workload.content)

    def first(self, requests: int) -> "OpenLoad":
        return OpenLoad(self.lengths[:requests], self.unit_arrivals[:requests], self.content)

    def level(self, id: str, purpose: str, seed: int, rate: float, warm_in_requests: int, limit_s: float) -> LevelSpec:
        """The level that sends this load at `rate` requests per second; its window ends with the last arrival."""
        arrivals = tuple(at / rate for at in self.unit_arrivals)
        warm_in = arrivals[warm_in_requests - 1] if warm_in_requests else 0.0
        return LevelSpec(
            id=id,
            purpose=purpose,
            seed=seed,
            lengths=self.lengths,
            arrivals=arrivals,
            warm_in_s=warm_in,
            window_s=arrivals[-1] - warm_in,
            limit_s=limit_s,
            content=self.content,
        )


def simulate(config: SchedulerConfig, step_ms: StepTime, spec: LevelSpec, *, keep_steps: bool = False) -> LevelLog:
    """Run a level on a fresh simulated replica; without its steps that is much faster, and as exact."""
    return run_level(SimulatedBackend(config, step_ms), spec, keep_steps=keep_steps)
