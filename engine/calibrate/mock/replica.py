"""The engine's scheduler in real time: what a step plans is real, how long it takes a formula says."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from engine.calibrate.client.timer import sleep_until
from engine.calibrate.simulator import StepTime
from engine.config import SchedulerConfig
from engine.request import Request, SamplingParams
from engine.scheduler import Scheduler


@dataclass(slots=True)
class Served:
    """What became of a request. Times are the monotonic clock's, and those of tokens the moments at which their steps
    end by the formula."""

    arrived_s: float
    first_s: float | None = None
    last_s: float | None = None
    output: int = 0


@dataclass(slots=True, eq=False)
class Generation:
    """A request on its way: its tokens come through `tokens`, None after the last."""

    request: Request
    served: Served
    tokens: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)


class Replica:
    """Serves what is submitted, as long as `serve()` runs. Steps follow one another without a gap while there is work.

    A step's end is counted from the end of the one before and not from when that was noticed, so timers that go off a
    little late do not add up.
    """

    def __init__(self, config: SchedulerConfig, step_ms: StepTime) -> None:
        self.scheduler = Scheduler(config)
        self.step_ms = step_ms
        self.behind_s = 0.0  # most that a step's tokens were ever late: more than a step, and the clock is not kept
        self._ids = itertools.count()
        self._work = asyncio.Event()
        self._live: dict[Request, Generation] = {}

    def submit(self, prompt: list[int], max_tokens: int, arrived_s: float) -> Generation:
        """Queue a request that came then; raises InputError for one that could never be served."""
        request = Request(next(self._ids), prompt, SamplingParams(max_tokens=max_tokens, ignore_eos=True))
        self.scheduler.submit(request)
        generation = self._live[request] = Generation(request, Served(arrived_s))
        self._work.set()
        return generation

    def cancel(self, generation: Generation) -> None:
        """Forget a request wherever it is."""
        self.scheduler.cancel(generation.request)
        self._live.pop(generation.request, None)

    async def serve(self) -> None:
        ended = 0.0
        while True:
            if self.scheduler.idle:
                self._work.clear()
                await self._work.wait()
                ended = time.monotonic()
            ended = await self._step(ended)

    async def _step(self, started: float) -> float:
        """One step; its tokens go out when it ends, which is returned."""
        step = self.scheduler.plan()
        ms = self.step_ms(len(step.decodes), step.prefill_tokens, step.decode_context, step.prefill_pairs)
        ended = started + ms / 1000
        await sleep_until(ended)
        self.behind_s = max(self.behind_s, time.monotonic() - ended)
        self.scheduler.commit(step, [_token(request) for request in step.sampled])
        for request in step.sampled:
            self._hand_over(request, ended)
        return ended

    def _hand_over(self, request: Request, at: float) -> None:
        generation = self._live.get(request)
        if generation is None:
            return  # cancelled meanwhile
        served = generation.served
        served.first_s = served.first_s or at
        served.last_s = at
        served.output += 1
        generation.tokens.put_nowait(request.tokens[-1])
        if len(request.tokens) == request.limit:
            generation.tokens.put_nowait(None)
            del self._live[request]


def _token(request: Request) -> int:
    """A fixed function of the prompt and the place, so that an answer repeats itself."""
    return (request.prompt[0] + request.prompt[-1] + len(request.tokens)) % 1000
