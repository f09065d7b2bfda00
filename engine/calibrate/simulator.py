"""The engine's own scheduler and block pool under a virtual clock: what a step plans is real, how long it takes is
given by a function of the step. Single replica.

Between an arrival, a finish and the end of a prompt the scheduler plans the same step again and again, and only the
context grows. Such steps are taken at once, in closed form.
"""

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.load import Stepped, run_level
from engine.calibrate.workload import Content, Lengths, Workload
from engine.calibrate.workload.prompts import marks
from engine.config import SchedulerConfig
from engine.request import Request, SamplingParams
from engine.scheduler import Chunk, Scheduler, Step
from engine.stats import StepRecord

# Milliseconds of a step from its decode sequences, prompt tokens, KV tokens that decodes read, query-key pairs of
# prompt tokens. Steps are only taken at once where it is linear in the last two while the first two stay as they are.
StepTime = Callable[[int, int, int, int], float]


@dataclass(frozen=True, slots=True)
class Run:
    """`steps` steps on end that do the same work, each longer than the one before by the same `growth_s`."""

    steps: int
    first_s: float
    growth_s: float
    decodes: list[Request]
    chunks: list[Chunk]

    def seconds(self, steps: int) -> float:
        return steps * self.first_s + self.growth_s * (steps * (steps - 1) / 2)

    def started_within(self, seconds: float) -> int:
        """How many of them start less than `seconds` from now: the root of a parabola, set right by a step."""
        if self.seconds(self.steps - 1) < seconds:
            return self.steps
        slope = self.first_s - self.growth_s / 2
        root = math.sqrt(max(0.0, slope * slope + 2 * self.growth_s * seconds))
        steps = min(self.steps, max(1, math.ceil(2 * seconds / (slope + root))))
        while self.seconds(steps) < seconds:
            steps += 1
        while steps > 1 and self.seconds(steps - 1) >= seconds:
            steps -= 1
        return steps


class SimulatedBackend:
    """A replica whose steps take `step_ms(…)` milliseconds of virtual time.

    Prompts carry marks for tokens, alike where real prompts are. Where none shares a prefix with another, they carry
    lengths only, and the prefix cache is left out of the simulation.
    Alike steps are taken at once, with the same clock and the same blocks as one by one; whether the next step will be
    like the last is read from what the scheduler planned, and never decided here.
    """

    def __init__(self, config: SchedulerConfig, step_ms: StepTime) -> None:
        self.scheduler = Scheduler(replace(config, prefix_cache=False))
        self.prefix_cache = config.prefix_cache
        self.step_ms = step_ms
        self.clock_s = 0.0
        self._ids = itertools.count()
        self._stuck = False  # what waits can't start before something that runs ends
        self._chunks: list[Chunk] = []  # of the last step, where the next one computes as much of the same prompts
        self._ahead: Run | None = None
        self._looked = False  # whether `_ahead` is known

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
        number = next(self._ids)
        request = _marked(number, lengths) if self.scheduler.pool.prefix_cache else _blank(number, lengths)
        self._stuck = self._stuck and len(self.scheduler.waiting) > 0
        self._looked = False
        self.scheduler.submit(request)
        return request

    def cancel(self, request: Request) -> None:
        self._stuck = self._looked = False
        self._chunks = []
        self.scheduler.cancel(request)

    def step(self, until: float) -> Stepped:
        started = self.clock_s
        if until > started and self.ahead is not None:
            sampled, repeats = self.advance(until)
            ms = (self.clock_s - started) * 1000
            free = self.scheduler.pool.available
            waiting, running = len(self.scheduler.waiting), len(self.scheduler.running)
            return Stepped(StepRecord(started, ms, len(sampled), 0, 0, 0, 0, waiting, running, free), sampled, repeats)
        step = self._step()
        return Stepped(StepRecord.of(step, self.scheduler, started, self.clock_s), step.sampled)

    def advance(self, until: float) -> tuple[list[Request], int]:
        """Take a step, and the alike ones after it that start before `until`; returns who got tokens, how many each."""
        ahead = self.ahead
        if ahead is None:
            return self._step().sampled, 1
        steps = ahead.started_within(until - self.clock_s)
        self._leap(ahead, steps)
        return ahead.decodes, steps

    @property
    def ahead(self) -> Run | None:
        """The alike steps that come next, up to and with one that ends a request; None where they are not known."""
        if not self._looked:
            self._ahead = self._alike()
            self._looked = True
        return self._ahead

    def _step(self) -> Step:
        step = self.scheduler.plan()
        ms = self.step_ms(len(step.decodes), step.prefill_tokens, step.decode_context, step.prefill_pairs)
        self.clock_s += ms / 1000
        finished = self.scheduler.commit(step, bytes(len(step.decodes) + len(step.prefills)))
        lasting = not finished and not step.preempted
        # With tokens to spare, what still waits lacks a row or memory: that gets no better until something ends.
        used = len(step.decodes) + step.prefill_tokens
        self._stuck = lasting and used < self.scheduler.config.token_budget
        # A prompt that was under way before and is still: shares of the budget stay while none begins or ends.
        under_way = lasting and all(chunk.start and not chunk.samples for chunk in step.prefills)
        self._chunks = step.prefills if under_way else []
        self._looked = False
        return step

    def _alike(self) -> Run | None:
        scheduler = self.scheduler
        # With a prefix cache, what waits may find more of its beginning with every chunk of what runs.
        shared = scheduler.pool.prefix_cache
        if scheduler.waiting and (shared or not self._stuck):
            return None
        # Those that have a token and compute it next; the others are at their prompts.
        decodes = [r for r in scheduler.running if r.planned - r.computed == 1 and len(r.tokens) > len(r.prompt)]
        chunks = self._chunks if len(decodes) < len(scheduler.running) and not shared else []
        if len(decodes) + len(chunks) < len(scheduler.running):
            return None
        steps = min([r.limit - len(r.tokens) for r in decodes] + [self._long_for(chunk) for chunk in chunks], default=0)
        steps = self._held(decodes, steps)
        return self._timed(steps, decodes, chunks) if steps > 1 else None

    def _long_for(self, chunk: Chunk) -> int:
        """In how many more chunks the prompt stays longer than a step's budget: up to there it gets the same share."""
        return max(0, -(-(chunk.request.outstanding - self.scheduler.config.token_budget) // chunk.count))

    def _held(self, decodes: list[Request], steps: int) -> int:
        """As many of the steps as there is memory for, without preempting anybody."""
        available = self.scheduler.pool.available
        if len(decodes) * self.scheduler.config.blocks_for(steps) <= available:
            return steps

        def wanted(steps: int) -> int:
            return sum(self._blocks_missing(request, steps) for request in decodes)

        if wanted(steps) <= available:
            return steps
        if self.scheduler.pool.prefix_cache:
            return 0  # who is preempted finds again what was committed step by step
        return bisect_right(range(steps), available, key=wanted) - 1

    def _blocks_missing(self, request: Request, steps: int) -> int:
        return max(0, self.scheduler.config.blocks_for(request.computed + steps) - len(request.blocks))

    def _timed(self, steps: int, decodes: list[Request], chunks: list[Chunk]) -> Run:
        """Two steps' times tell all others', as the context and the pairs grow by the same each step."""
        many, context = len(decodes), sum([request.computed for request in decodes]) + len(decodes)
        counts = [chunk.count for chunk in chunks]
        pairs = sum(c.count * c.request.computed + c.count * (c.count + 1) // 2 for c in chunks)
        first = self.step_ms(many, sum(counts), context, pairs)
        second = self.step_ms(many, sum(counts), context + many, pairs + sum(count**2 for count in counts))
        return Run(steps, first / 1000, (second - first) / 1000, decodes, chunks)

    def _leap(self, run: Run, steps: int) -> None:
        """Take the first `steps` of a run. A request's last token is left to the scheduler, which ends it."""
        self.clock_s += run.seconds(steps)
        tokens, last = bytes(steps), Step()
        for request in run.decodes:
            if request.computed + steps > request.ceiling:
                self.scheduler.grow(request, self._blocks_missing(request, steps))
            request.computed += steps
            request.planned += steps
            request.tokens += tokens
            if len(request.tokens) == request.limit:
                del request.tokens[-1]
                last.decodes.append((request, request.computed - 1))
        for chunk in run.chunks:
            chunk.request.computed += steps * chunk.count
        if last.decodes:
            self.scheduler.commit(last, bytes(len(last.decodes)))
            self._stuck = False
            self._chunks = []
        self._looked = False


@functools.lru_cache(maxsize=4096)
def _params(output: int) -> SamplingParams:
    return SamplingParams(max_tokens=output, ignore_eos=True)


def _marked(id: int, lengths: Lengths) -> Request:
    """A request whose prompt shares what real ones would share."""
    return Request(id, marks(lengths, id), _params(lengths.output))


def _blank(id: int, lengths: Lengths) -> Request:
    """A request whose tokens are zeros, a byte each: only how many there are matters, and very many may wait."""
    prompt = bytes(lengths.input)
    request = Request(id, cast("list[int]", prompt), _params(lengths.output))
    request.tokens = cast("list[int]", bytearray(prompt))
    return request


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


def simulate(
    config: SchedulerConfig, step_ms: StepTime, spec: LevelSpec, *, keep_steps: bool = False, remote: bool = False
) -> LevelLog:
    """Run a level on a fresh simulated replica; without its steps that is much faster, and as exact."""
    return run_level(SimulatedBackend(config, step_ms), spec, keep_steps=keep_steps, remote=remote)
