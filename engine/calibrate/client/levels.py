"""Levels of load on a server that is only known by its answers; what `engine.calibrate.load` is to an engine's steps.

    closed loop   N requests outstanding; a finished one is replaced at once, until the window closes
    open loop     sent when the schedule says so, however many are outstanding, and timed from that moment

What still runs at the end is cut by closing its connection, and not counted.
"""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from engine.calibrate.client.timer import sleep_until
from engine.calibrate.client.wire import Answer, Failure
from engine.calibrate.level import ClientLog, LevelLog, LevelSpec, RequestRow
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.workload import Lengths, Span
from engine.calibrate.workload.prompts import COMMON, common_beginning, requests

REPORT_EVERY_S = 1.0
BLOCK = 64  # tokens; beginnings are shared in whole ones, which are whole blocks of every server with smaller ones
PAUSE_S = 0.5  # before a failed request of a closed loop is replaced, so that a server that refuses is not flooded
MOST_ERRORS = 0.25  # of the requests that ended; an overloaded server may turn some away
FEWEST_ERRORS = 5

Report = Callable[[float, int], None]


class Requests(Protocol):
    """Lays requests out and sends them."""

    def reset(self, spec: LevelSpec) -> None:
        """Make the following prompts as this level's are, and like none before."""

    def body(self, lengths: Lengths) -> bytes: ...

    async def stream(self, body: bytes, answer: Answer) -> None:
        """Hear an answer to its end; raises Failure."""


class TooManyErrors(RuntimeError):
    """Requests fail, and a measurement of the others would mean nothing."""


async def run_level(sender: Requests, spec: LevelSpec, stopped: asyncio.Event, report: Report) -> LevelLog:
    """Run one level to its end, or until `stopped`; `report(seconds, output tokens)` is called about each second.

    Raises TooManyErrors when a quarter of the requests fail, or all.
    """
    sender.reset(spec)
    await _warm(sender, spec)
    level = _OpenLoop(sender, spec) if spec.open_loop else _ClosedLoop(sender, spec)
    return await level.run(stopped, report)


async def _warm(sender: Requests, spec: LevelSpec) -> None:
    """Have what all prompts begin with in the server's prefix cache before the first comes, as it is in use."""
    common = common_beginning(spec.lengths, spec.content.prefix_share, BLOCK)
    if common:
        await sender.stream(sender.body(Lengths(common + 1, 1, (Span(COMMON, common),))), Answer())


class _Loop(ABC):
    """A level in progress; its clock starts at 0."""

    def __init__(self, sender: Requests, spec: LevelSpec) -> None:
        self.sender = sender
        self.spec = spec
        self.log = LevelLog()
        self.answers: list[Answer] = []  # one for each row of the log
        self.live: set[asyncio.Task[None]] = set()
        self.errors: Counter[str] = Counter()
        self.broken: BaseException | None = None
        self.requests = requests(spec.lengths, spec.content, BLOCK)
        self.zero = time.monotonic()
        self._cpu = time.process_time()

    @property
    def time(self) -> float:
        return time.monotonic() - self.zero

    @abstractmethod
    async def drive(self) -> None:
        """Send what is due, open the window, and return when the level is over."""

    async def run(self, stopped: asyncio.Event, report: Report) -> LevelLog:
        self.driving = asyncio.create_task(self.drive())
        beside = [asyncio.create_task(stopped.wait()), asyncio.create_task(self._progress(report))]
        await asyncio.wait([self.driving, beside[0]], return_when=asyncio.FIRST_COMPLETED)
        complete = self.driving.done()
        duration = self.time
        for task in (self.driving, *beside, *self.live):
            task.cancel()
        await asyncio.wait([self.driving, *beside, *self.live])
        self._raise_what_broke()
        if complete and self.errors and not any(row.finished for row in self.log.requests):
            raise TooManyErrors(f"every request failed ({self._reasons()})")
        return self._close(duration, complete=complete)

    def send(self, lengths: Lengths, body: bytes, sched: float, *, starter: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self._exchange(lengths, body, sched, starter))
        self.live.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.live.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self.broken = self.broken or error
        self.driving.cancel()

    async def _exchange(self, lengths: Lengths, body: bytes, sched: float, starter: bool) -> None:
        row = RequestRow(sched, self.time, lengths.input, lengths.output, starter)
        answer = Answer(self.starter_answered) if starter else Answer()
        self.log.requests.append(row)
        self.answers.append(answer)
        try:
            await self.sender.stream(body, answer)
            row.finished = True
        except Failure as failure:
            self._failed(failure)
            if starter and not answer.events:
                self.starter_answered()
            await asyncio.sleep(PAUSE_S if not self.spec.open_loop else 0)

    @abstractmethod
    def starter_answered(self) -> None:
        """A request of a closed loop's opening burst got its first token, or failed before that."""

    def _failed(self, failure: Failure) -> None:
        self.errors[failure.reason] += 1
        failed = self.errors.total()
        ended = failed + sum(row.finished for row in self.log.requests)
        if failed >= FEWEST_ERRORS and failed > MOST_ERRORS * ended:
            self._break(TooManyErrors(f"{failed} of {ended} requests failed ({self._reasons()}); the last: {failure}"))

    def _reasons(self) -> str:
        return ", ".join(f"{count} × {reason}" for reason, count in self.errors.most_common())

    def _raise_what_broke(self) -> None:
        error = self.broken or (None if self.driving.cancelled() else self.driving.exception())
        if error is not None:
            raise error

    async def _progress(self, report: Report) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            events = sum(answer.events for answer in self.answers)
            report(self.time, round(events * self._tokens_per_event()))

    def _close(self, duration: float, *, complete: bool) -> LevelLog:
        log = self.log
        log.duration_s = duration
        log.complete = complete
        if log.window is not None and duration < log.window[1]:
            log.window = (log.window[0], max(log.window[0], duration))
        per_event = self._tokens_per_event()
        for row, answer in zip(log.requests, self.answers, strict=True):
            self._fill(row, answer)
            if answer.tokens == answer.events and (answer.completion_tokens or per_event == 1):
                self._note_gaps(answer)
        log.client = self._client(duration, per_event)
        return log

    def _tokens_per_event(self) -> float:
        """How many tokens an event of the stream brings, from the answers whose usage came."""
        counted = [answer for answer in self.answers if answer.completion_tokens and answer.events]
        return sum(a.tokens for a in counted) / sum(a.events for a in counted) if counted else 1.0

    def _fill(self, row: RequestRow, answer: Answer) -> None:
        row.input = answer.prompt_tokens or row.input
        row.output = answer.tokens
        row.cached = answer.cached_tokens
        if answer.reads:
            row.t_first, row.t_last = answer.reads[0][0] - self.zero, answer.reads[-1][0] - self.zero

    def _note_gaps(self, answer: Answer) -> None:
        for at, gap in answer.gaps():
            if self._counts(at - self.zero):
                self.log.itl_gaps_ms.add(gap * 1000)

    def _client(self, duration: float, per_event: float) -> ClientLog:
        rows = self.log.requests
        lags = [(row.t_sent - row.t_sched) * 1000 for row in rows]
        events = sum(n for answer in self.answers for at, n in answer.reads if self._counts(at - self.zero))
        return ClientLog(
            input_tokens=sum(row.input - row.cached for row in rows if row.t_first and self._counts(row.t_first)),
            output_tokens=round(events * per_event),
            cpu_share=(time.process_time() - self._cpu) / max(duration, 1e-9),
            send_lag_p99_ms=nearest_rank(lags, 0.99) if lags else 0.0,
            errors=dict(self.errors),
        )

    def _counts(self, at: float) -> bool:
        return self.log.window is not None and self.log.window[0] < at <= self.log.window[1]


class _ClosedLoop(_Loop):
    def __init__(self, sender: Requests, spec: LevelSpec) -> None:
        super().__init__(sender, spec)
        self.concurrency = spec.concurrency or 1
        self.opening = self.concurrency  # of the first N, those without a token so far
        self.opened = asyncio.Event()

    async def drive(self) -> None:
        keeping = [asyncio.create_task(self._keep(place)) for place in range(1, self.concurrency + 1)]
        try:
            await asyncio.wait_for(self.opened.wait(), self.spec.limit_s)
            opened = self.time
            self.log.window = (opened, opened + self.spec.window_s)
            await sleep_until(self.zero + self.log.window[1])
        except TimeoutError:
            pass  # the window never opened
        finally:
            for task in keeping:
                task.cancel()

    async def _keep(self, place: int) -> None:
        """One of the N: the first gets an output of 1/N, 2/N, … N/N of its length, so that they don't march in step."""
        full = next(self.requests)
        share = max(1, full.output * place // self.concurrency)
        await self._one(full._replace(output=share), starter=True)
        while True:
            await self._one(next(self.requests))

    async def _one(self, lengths: Lengths, *, starter: bool = False) -> None:
        body = self.sender.body(lengths)
        await self.send(lengths, body, self.time, starter=starter)

    def starter_answered(self) -> None:
        self.opening -= 1
        if self.opening == 0:
            self.opened.set()


class _OpenLoop(_Loop):
    def starter_answered(self) -> None:
        """It has no such burst."""

    async def drive(self) -> None:
        arrivals = self.spec.arrivals or ()
        chosen = list(itertools.islice(self.requests, len(arrivals)))
        bodies = [self.sender.body(lengths) for lengths in chosen]  # before the first is due: it takes time
        self.zero, self._cpu = time.monotonic(), time.process_time()
        end = self.spec.warm_in_s + self.spec.window_s
        self.log.window = (self.spec.warm_in_s, end)
        for at, lengths, body in zip(arrivals, chosen, bodies, strict=True):
            await sleep_until(self.zero + at)
            self.send(lengths, body, at)
        await sleep_until(self.zero + end)
        if self.live:
            await asyncio.wait(self.live, timeout=max(0.0, end + self.spec.limit_s - self.time))
