"""The driver: puts one level of load on a backend and writes down what happened.

The same code drives the real engine (inside the worker process, between its steps) and the simulator under its
virtual clock, so a level and its prediction differ only in how long a step takes.

    closed loop   N requests outstanding; a finished one is replaced at once, until the window closes
    open loop     sent when the schedule says so, however far behind the server is, and timed from that moment
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from engine.calibrate.level import LevelLog, LevelSpec, RequestRow, StepRow
from engine.calibrate.workload.lengths import Lengths, Span
from engine.calibrate.workload.prompts import COMMON, common_beginning, requests
from engine.request import Request, State
from engine.stats import StepRecord

REPORT_EVERY_S = 1.0


class Stepped(NamedTuple):
    """One step of a backend: its log row, and the requests that got a token with it.

    A simulator may take several steps at once, in which each of the requests got `repeats` tokens.
    """

    record: StepRecord
    sampled: list[Request]
    repeats: int = 1


class Backend(Protocol):
    """What can be put under load: an engine with a clock."""

    def now(self) -> float: ...

    def wait_until(self, when: float) -> None: ...

    @property
    def block_size(self) -> int:
        """Tokens of a block of KV memory; of prompts alike in their beginnings, whole blocks are computed once."""

    def reset(self, spec: LevelSpec) -> None:
        """Forget cached prefixes, and make the following prompts as this level's are, from its seed."""

    def submit(self, lengths: Lengths) -> Request: ...

    def cancel(self, request: Request) -> None: ...

    def step(self, until: float) -> Stepped:
        """Take a step. Further ones of the same kind may be joined to it that start before `until`."""


def run_level(
    backend: Backend,
    spec: LevelSpec,
    *,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[float, int], None] = lambda seconds, tokens: None,
    keep_steps: bool = True,
    remote: bool = False,
) -> LevelLog:
    """Run one level to its end, or until `stopped()`; `report(seconds, output tokens)` is called about each second.

    Without `keep_steps` the log has the requests only. A `remote` closed loop is as over a network: what replaces a
    finished request comes when the next step has begun.
    """
    backend.reset(spec)
    _warm(backend, spec)
    loop = _OpenLoop(backend, spec) if spec.open_loop else _ClosedLoop(backend, spec, remote=remote)
    loop.keep_steps = keep_steps
    reported = 0.0
    while not loop.over() and not stopped():
        loop.feed()
        loop.advance()
        if loop.time - reported >= REPORT_EVERY_S:
            reported = loop.time
            report(reported, loop.tokens)
    return loop.close(complete=loop.over())


def _warm(backend: Backend, spec: LevelSpec) -> None:
    """Have what all prompts begin with in the prefix cache before the first comes, as it is on a server in use."""
    common = common_beginning(spec.lengths, spec.content.prefix_share, backend.block_size)
    if common:
        request = backend.submit(Lengths(common + 1, 1, (Span(COMMON, common),)))
        while request.state is not State.FINISHED:
            backend.step(-math.inf)


class _Loop(ABC):
    """A level in progress; its clock starts at 0 and moves with the backend's."""

    def __init__(self, backend: Backend, spec: LevelSpec) -> None:
        self.backend = backend
        self.spec = spec
        self.zero = backend.now()
        self.time = 0.0
        self.tokens = 0
        self.keep_steps = True
        self.log = LevelLog()
        self.live: dict[Request, RequestRow] = {}
        self.requests = requests(spec.lengths, spec.content, backend.block_size)

    def send(self, lengths: Lengths, *, sched: float, sent: float | None = None, starter: bool = False) -> None:
        """Now, or what a remote client `sent` a moment ago."""
        row = RequestRow(sched, self.time if sent is None else sent, lengths.input, lengths.output, starter)
        self.live[self.backend.submit(lengths)] = row
        self.log.requests.append(row)

    @abstractmethod
    def over(self) -> bool: ...

    @abstractmethod
    def feed(self) -> None:
        """Send what is due, and open the window when it is time."""

    @abstractmethod
    def next_event(self) -> float:
        """When the load changes by itself, not because a request finished."""

    def advance(self) -> None:
        """One step of the backend, or a wait while it has nothing to do."""
        if self.live:
            until = self.zero + self.next_event() if not self.keep_steps else -math.inf
            self._record(self.backend.step(until))
        else:
            event = self.next_event()
            self.backend.wait_until(self.zero + event)
            self.time = self.backend.now() - self.zero
            if self.backend.now() >= self.zero + event:
                self.time = max(self.time, event)  # subtracting may have rounded it to just before

    def _record(self, stepped: Stepped) -> None:
        record, sampled, repeats = stepped
        self.time = at = record.started_s - self.zero + record.ms / 1000
        self.tokens += len(sampled) * repeats
        if self.keep_steps:
            self.log.steps.append(StepRow.of(record, self.zero, len(sampled)))
        window = self.log.window
        counted = self.keep_steps and window is not None and window[0] < at <= window[1]
        for request in sampled:
            row = self.live[request]
            if row.t_last is None:
                row.t_first = at
            elif counted:
                self.log.itl_gaps_ms.add((at - row.t_last) * 1000)
            row.t_last = at
            row.output += repeats
            if request.state is State.FINISHED:
                self._leave(request, finished=True)

    def _leave(self, request: Request, *, finished: bool) -> None:
        row = self.live.pop(request)
        row.finished = finished
        row.cached = request.cached_tokens
        row.preemptions = request.preemptions

    def close(self, *, complete: bool) -> LevelLog:
        """Cancel what is still running: it would drain at falling concurrency, which is no part of the level."""
        for request in list(self.live):
            self.backend.cancel(request)
            self._leave(request, finished=False)
        self.log.duration_s = self.time
        self.log.complete = complete
        if self.log.window is not None and self.time < self.log.window[1]:
            self.log.window = (self.log.window[0], max(self.log.window[0], self.time))
        return self.log


class _ClosedLoop(_Loop):
    def __init__(self, backend: Backend, spec: LevelSpec, *, remote: bool) -> None:
        super().__init__(backend, spec)
        self.remote = remote
        self.on_the_way: list[float] = []  # when they were sent

    def feed(self) -> None:
        concurrency = self.spec.concurrency or 1
        if not self.log.requests:
            for place in range(1, concurrency + 1):
                # The first N get outputs of 1/N, 2/N, … N/N of their length, so that they do not march in step.
                full = next(self.requests)
                share = max(1, full.output * place // concurrency)
                self.send(full._replace(output=share), sched=self.time, starter=True)
        arrived, self.on_the_way = self.on_the_way, []
        for sent in arrived:
            self.send(next(self.requests), sched=sent, sent=sent)
        missing = [self.time] * (concurrency - len(self.live))
        if self.remote and self.live:
            self.on_the_way = missing
        else:
            for sent in missing:
                self.send(next(self.requests), sched=sent)
        if self.log.window is None and self._opened():
            self.log.window = (self.time, self.time + self.spec.window_s)

    def _opened(self) -> bool:
        return all(row.t_first is not None for row in self.log.requests if row.starter)

    def over(self) -> bool:
        if self.log.window is None:
            return self.time >= self.spec.limit_s
        return self.time >= self.log.window[1]

    def next_event(self) -> float:
        return self.time if self.log.window is None or self.on_the_way else self.log.window[1]


class _OpenLoop(_Loop):
    def __init__(self, backend: Backend, spec: LevelSpec) -> None:
        super().__init__(backend, spec)
        self.arrivals = spec.arrivals or ()
        self.end = spec.warm_in_s + spec.window_s
        self.log.window = (spec.warm_in_s, self.end)

    def feed(self) -> None:
        sent = len(self.log.requests)
        while sent < len(self.arrivals) and self.arrivals[sent] <= self.time:
            self.send(next(self.requests), sched=self.arrivals[sent])
            sent += 1

    def over(self) -> bool:
        if self.time < self.end or len(self.log.requests) < len(self.arrivals):
            return False
        return not self.live or self.time >= self.end + self.spec.limit_s

    def next_event(self) -> float:
        sent = len(self.log.requests)
        if sent < len(self.arrivals):
            return self.arrivals[sent]
        return self.end if self.time < self.end else self.end + self.spec.limit_s
