"""The engine: prompts in, tokens out, one step at a time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import EngineOptions
from engine.request import Request, SamplingParams
from engine.runner import Runner
from engine.scheduler import Scheduler
from engine.stats import StepRecord


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step brought: its log row, the new tokens, and the requests that ended with it."""

    record: StepRecord
    tokens: list[tuple[Request, int]]
    finished: list[Request]


class Engine:
    """A model on a device with its scheduler. Holds no global state; two engines in one process work."""

    def __init__(self, model: Path, options: EngineOptions | None = None) -> None:
        self.runner = Runner(model, options or EngineOptions())
        self.config = self.runner.config
        self.scheduler = Scheduler(self.config.scheduler)
        self._added = 0

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    def add(self, prompt: Sequence[int], params: SamplingParams) -> Request:
        """Queue a prompt (token ids); raises InputError for one that can't be served."""
        request = Request(self._added, list(prompt), params, self.runner.stop_ids)
        self.scheduler.submit(request)
        self._added += 1
        return request

    def cancel(self, request: Request) -> None:
        self.scheduler.cancel(request)

    def step(self) -> StepResult:
        """Plan, compute and commit one step; the engine must not be idle."""
        started = time.monotonic()
        step = self.scheduler.plan()
        tokens = self.runner.run(step)
        sampled = [chunk.request for chunk in step.chunks if chunk.samples]
        finished = self.scheduler.commit(step, tokens)
        record = StepRecord.of(step, self.scheduler, started, time.monotonic())
        return StepResult(record, list(zip(sampled, tokens, strict=True)), finished)

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams) -> list[Request]:
        """Run prompts to their ends; the requests come back in the order of the prompts."""
        requests = [self.add(prompt, params) for prompt in prompts]
        for _ in self.run():
            pass
        return requests

    def run(self) -> Iterator[StepResult]:
        """Step until idle."""
        while not self.idle:
            yield self.step()

    def reset_prefix_cache(self) -> None:
        self.scheduler.pool.reset()
