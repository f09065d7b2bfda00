"""The engine: prompts in, tokens out, one step at a time."""

import asyncio
import contextlib
import functools
import itertools
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.backend import Underway, open_backend
from engine.config import EngineOptions
from engine.driver import Driver
from engine.errors import InputError
from engine.request import Request, SamplingParams, State, TokenLogprobs, TokenMask
from engine.sampler import Drawn
from engine.scheduler import Scheduler
from engine.stats import StepRecord
from engine.tokenizer import TextStream, Tokenizer

if TYPE_CHECKING:
    from engine.structured import JsonGrammar


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step brought: its log row, the new tokens, and the requests that ended with it."""

    record: StepRecord
    tokens: list[tuple[Request, int]]
    finished: list[Request]


class Output(NamedTuple):
    """A piece of a stream: a token, the text that is certain with it (None without a tokenizer), and in the last piece
    why the request ended. A piece without a token says that it was cancelled, or failed."""

    token: int | None
    text: str | None
    logprobs: TokenLogprobs | None
    finish_reason: str | None


Listener = Callable[[Output], None]


class Engine:
    """A model on a device with its scheduler. Holds no global state; two engines in one process work.

    Any thread may add, cancel, step, generate and stream, all at the same time; `astream` is for event loops. Whoever
    steps moves all requests on. `_lock` guards the books and is never held while a step is computed.
    """

    def __init__(self, model: Path | str, options: EngineOptions | None = None) -> None:
        self.runner = open_backend(Path(model), options or EngineOptions())
        self.config = self.runner.config
        self.scheduler = Scheduler(self.config.scheduler)
        self._ids = itertools.count()
        self._lock = threading.RLock()
        self._stepping = threading.Lock()  # steps are launched and read in one order, by one thread at a time
        self._launched: Underway | None = None
        self._known_s = 0.0  # when the last tokens were known
        self._listeners: dict[Request, Listener] = {}
        self._driver = Driver(self.step, lambda: self.idle)

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.runner.folder)

    @functools.cached_property
    def _json(self) -> "JsonGrammar":
        from engine.structured import JsonGrammar  # imports transformers, two seconds

        return JsonGrammar(self.tokenizer, self.runner.shape.vocab, self.runner.stop_ids)

    def add(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        *,
        priority: int = 0,
        mask: TokenMask | None = None,
        listener: Listener | None = None,
    ) -> Request:
        """Queue a prompt (token ids); raises InputError for one that can't be served.

        Lower priorities run first. `mask` limits the tokens that may be drawn, as `json_schema` does. `listener` is
        told each token as it comes, without its text, by the thread that steps: it must be quick and not raise.
        """
        return self._submit(self._request(prompt, params, priority, mask), listener)

    def cancel(self, request: Request) -> None:
        """End a request wherever it is; nothing happens to one that has ended."""
        with self._lock:
            self._end(request, "cancelled")

    def step(self) -> StepResult | None:
        """Bring the tokens of one step; None when there is nothing to do. A step that fails ends all requests.

        With one step ahead, the next step is launched before the tokens of this one are read.
        """
        with self._stepping:
            try:
                started = time.monotonic()
                current = self._unread() or self._launch(None)
                if current is None:
                    return None
                if self.config.overlap:
                    self._launched = self._launch(current)
                return self._finish(current, max(started, self._known_s) if self.config.overlap else started)
            except BaseException:
                self._abandon()
                raise

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, *, priority: int = 0) -> list[Request]:
        """Run prompts to their ends; the requests come back in the order of the prompts."""
        requests = [self.add(prompt, params, priority=priority) for prompt in prompts]
        try:
            while any(request.state is not State.FINISHED for request in requests):
                self.step()
        finally:
            for request in requests:
                self.cancel(request)
        return requests

    def stream(self, prompt: Sequence[int], params: SamplingParams, *, priority: int = 0) -> Iterator[Output]:
        """Yield a request's tokens as they come. Leaving the loop early cancels it."""
        outputs: queue.SimpleQueue[Output] = queue.SimpleQueue()
        text = self._text_stream(params)
        request = self.add(prompt, params, priority=priority, listener=outputs.put)
        try:
            self._driver.wake()
            output = _with_text(outputs.get(), text)
            while output.finish_reason is None:
                yield output
                output = _with_text(outputs.get(), text)
            yield output
        finally:
            self.cancel(request)

    async def astream(
        self, prompt: Sequence[int], params: SamplingParams, *, priority: int = 0
    ) -> AsyncIterator[Output]:
        """`stream` for an event loop, which is never kept waiting. A cancelled task cancels its request."""
        loop = asyncio.get_running_loop()
        outputs: asyncio.Queue[Output] = asyncio.Queue()
        text = await loop.run_in_executor(None, self._text_stream, params)
        request = await loop.run_in_executor(None, self._request, prompt, params, priority)

        def tell(output: Output) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed; nobody listens any more
                loop.call_soon_threadsafe(outputs.put_nowait, output)

        self._submit(request, tell)
        try:
            self._driver.wake()
            output = _with_text(await outputs.get(), text)
            while output.finish_reason is None:
                yield output
                output = _with_text(await outputs.get(), text)
            yield output
        finally:
            self.cancel(request)

    def run(self) -> Iterator[StepResult]:
        """Step until idle."""
        while (result := self.step()) is not None:
            yield result

    def close(self) -> None:
        """End the processes of a tensor-parallel engine. They also end with this one; without them, nothing happens."""
        self.runner.close()

    def reset_prefix_cache(self) -> None:
        with self._lock:
            self.scheduler.pool.reset()

    def _request(
        self, prompt: Sequence[int], params: SamplingParams, priority: int, mask: TokenMask | None = None
    ) -> Request:
        self._check_tokens(prompt, params)
        if params.json_schema is not None:
            mask = self._json.mask(params.json_schema)
        request = Request(next(self._ids), list(prompt), params, self.runner.stop_ids, priority, mask)
        if mask is not None:
            request.watchers.append(mask.accept)
        if params.stop:
            request.watchers.append(self._stop_watcher(params))
        return request

    def _submit(self, request: Request, listener: Listener | None) -> Request:
        with self._lock:
            self.scheduler.submit(request)
            if listener is not None:
                self._listeners[request] = listener
        return request

    def _unread(self) -> Underway | None:
        """The step that was launched ahead, unless all its requests have ended since."""
        launched, self._launched = self._launched, None
        if launched is None or all(chunk.request.state is State.FINISHED for chunk in launched.step.chunks):
            return None
        return launched

    def _launch(self, before: Underway | None) -> Underway | None:
        """The next step; behind one that is not read yet, only where no draw depends on what that brings."""
        with self._lock:
            if before is not None and not self.scheduler.may_run_ahead:
                return None
            step = self.scheduler.plan()
            return None if step.empty else self.runner.launch(step, before)

    def _finish(self, launched: Underway, started: float) -> StepResult:
        drawn = launched.read()
        tokens = drawn.tokens.tolist()
        self._known_s = time.monotonic()
        step = launched.step
        with self._lock:
            accepted = [
                (request, token)
                for request, token in zip(step.sampled, tokens, strict=True)
                if request.state is not State.FINISHED
            ]
            _attach_logprobs(drawn)
            finished = self.scheduler.commit(step, tokens)
            self._tell(accepted, drawn)
            record = StepRecord.of(step, self.scheduler, started, self._known_s)
        return StepResult(record, accepted, finished)

    def _tell(self, accepted: Sequence[tuple[Request, int]], drawn: Drawn) -> None:
        for request, token in accepted if self._listeners else ():
            listener = self._listeners.get(request)
            if listener is not None:
                listener(Output(token, None, drawn.logprobs.get(request), request.finish_reason))
            if request.state is State.FINISHED:
                self._listeners.pop(request, None)

    def _end(self, request: Request, reason: str) -> None:
        if request.state is not State.FINISHED:
            self.scheduler.cancel(request, reason)
            listener = self._listeners.pop(request, None)
            if listener is not None:
                listener(Output(None, None, None, reason))

    def _abandon(self) -> None:
        """After a step that failed: nobody knows what was computed, so no request can go on."""
        with self._lock:
            self._launched = None
            for request in self.scheduler.live:
                self._end(request, "error")
            self.scheduler.pool.reset()

    def _check_tokens(self, prompt: Sequence[int], params: SamplingParams) -> None:
        vocabulary = self.runner.shape.vocab
        whole = isinstance(prompt, Sequence) and all(type(token) is int for token in prompt)
        if not whole or (prompt and not 0 <= min(prompt) <= max(prompt) < vocabulary):
            raise InputError(
                f"prompt_token_ids must be a list of whole numbers from 0 to {vocabulary - 1}, "
                "as the tokenizer's encode makes of a text"
            )
        for name, tokens in (("stop_token_ids", params.stop_token_ids), ("logit_bias", params.logit_bias)):
            if any(token >= vocabulary for token in tokens):
                raise InputError(f"{name} names token {max(tokens)}; the last of this model is {vocabulary - 1}")

    def _stop_watcher(self, params: SamplingParams) -> Callable[[int], bool]:
        self.tokenizer.fast()  # refuses stop texts where there is none
        text = TextStream(self.tokenizer, params.stop, params.min_tokens)

        def watch(token: int) -> bool:
            text.push(token)
            return text.stopped

        return watch

    def _text_stream(self, params: SamplingParams) -> TextStream:
        return TextStream(self.tokenizer, params.stop, params.min_tokens)


def _with_text(output: Output, text: TextStream) -> Output:
    if not text.available:
        return output
    certain = "" if output.token is None else text.push(output.token)
    return output._replace(text=certain if output.finish_reason is None else certain + text.flush())


def _attach_logprobs(drawn: Drawn) -> None:
    """Before the step's tokens are committed, so that a request that has ended gets none."""
    for request, entry in drawn.logprobs.items():
        if request.state is not State.FINISHED:
            request.logprobs.append(entry)
    for score, entries in drawn.prompt_logprobs:
        known = score.request.prompt_logprobs
        if score.place - 1 <= len(known):  # recomputed after a preemption, its first ones are known
            known += entries[len(known) - score.place + 1 :]
