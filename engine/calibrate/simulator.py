"""The engine's own scheduler and block pool under a virtual clock: what a step plans is real, how long it takes is
given by a function of the step. Single replica."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.load import Stepped, run_level
from engine.calibrate.workload import Lengths, Workload
from engine.config import SchedulerConfig
from engine.request import Request, SamplingParams
from engine.scheduler import Scheduler, Step
from engine.stats import StepRecord

StepTime = Callable[[Step], float]


class SimulatedBackend:
    """A replica whose steps take `step_ms(step)` milliseconds of virtual time.

    Prompts carry lengths only. Random prompts never share a prefix, so the prefix cache is left out of the simulation.
    """

    def __init__(self, config: SchedulerConfig, step_ms: StepTime) -> None:
        self.scheduler = Scheduler(replace(config, prefix_cache=False))
        self.step_ms = step_ms
        self.clock_s = 0.0
        self._ids = itertools.count()

    def now(self) -> float:
        return self.clock_s

    def wait_until(self, when: float) -> None:
        self.clock_s = max(self.clock_s, when)

    def reset(self, seed: int) -> None:
        """Nothing to forget: prompts have no content."""

    def submit(self, lengths: Lengths) -> Request:
        params = SamplingParams(max_tokens=lengths.output, ignore_eos=True)
        request = Request(next(self._ids), [0] * lengths.input, params)
        self.scheduler.submit(request)
        return request

    def cancel(self, request: Request) -> None:
        self.scheduler.cancel(request)

    def step(self) -> Stepped:
        step = self.scheduler.plan()
        started = self.clock_s
        self.clock_s += self.step_ms(step) / 1000
        sampled = [chunk.request for chunk in step.chunks if chunk.samples]
        self.scheduler.commit(step, [0] * len(sampled))
        return Stepped(StepRecord.of(step, self.scheduler, started, self.clock_s), sampled)


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Open-loop traffic with its randomness drawn once, so that the same requests can be sent at any rate."""

    lengths: tuple[Lengths, ...]
    unit_arrivals: tuple[float, ...]  # seconds at one request per second

    @classmethod
    def draw(cls, workload: Workload, requests: int, seed: int) -> "OpenLoad":
        rng = np.random.default_rng(seed)
        lengths = workload.sample(requests, rng)
        shape = workload.burstiness
        return cls(lengths, tuple(rng.gamma(shape, 1 / shape, requests).cumsum().tolist()))

    def first(self, requests: int) -> "OpenLoad":
        return OpenLoad(self.lengths[:requests], self.unit_arrivals[:requests])

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
        )


def simulate(config: SchedulerConfig, step_ms: StepTime, spec: LevelSpec, *, keep_steps: bool = False) -> LevelLog:
    """Run a level on a fresh simulated replica."""
    return run_level(SimulatedBackend(config, step_ms), spec, keep_steps=keep_steps)
