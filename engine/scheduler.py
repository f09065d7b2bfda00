"""Which tokens are computed next. Torch-free: the same code plans for a real device and for the simulator's clock.

    submit ─► waiting ─► running ─► finished
                 ▲          │
                 └──────────┘ preempted: blocks given back, recomputed later

One token budget a step. Every running request gets at least one token each step (there are never more of them than
the budget has tokens): decodes first, then prompts in progress, then new prompts while tokens, rows and blocks last.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.kv_cache import BlockPool
from engine.request import Request, State

# A prompt longer than a step's budget gets one part in so many of it while others wait, so that it blocks nobody.
LONG_PROMPT_PARTS = 4


@dataclass(slots=True)
class Chunk:
    """Tokens `start .. start + count` of one request; `samples` when the last of them yields a new token."""

    request: Request
    start: int
    count: int
    samples: bool


@dataclass(slots=True)
class Step:
    """One forward pass: decodes (one token each) before prompt chunks."""

    decodes: list[Chunk] = field(default_factory=list)
    prefills: list[Chunk] = field(default_factory=list)
    preempted: int = 0

    @property
    def chunks(self) -> list[Chunk]:
        return self.decodes + self.prefills

    @property
    def prefill_tokens(self) -> int:
        return sum(chunk.count for chunk in self.prefills)

    @property
    def decode_context(self) -> int:
        """KV tokens that the decodes read."""
        return sum(chunk.start + 1 for chunk in self.decodes)

    @property
    def prefill_pairs(self) -> int:
        """Query-key pairs that the prompt chunks compute."""
        return sum(c.count * c.start + c.count * (c.count + 1) // 2 for c in self.prefills)


class Scheduler:
    """Requests in, steps out. `plan()` may run one step ahead of `commit()`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.pool = BlockPool(config.num_blocks, config.block_size, config.prefix_cache)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []  # in order of admission
        self.preemptions = 0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def submit(self, request: Request) -> None:
        """Queue a request; raises InputError for one that could never be served."""
        prompt, wanted = len(request.prompt), request.params.max_tokens
        if prompt == 0:
            raise InputError("the prompt is empty; it must have at least one token")
        if prompt + wanted > self.config.max_model_len:
            raise InputError(
                f"prompt of {prompt} tokens and max_tokens {wanted} exceed the model's length of "
                f"{self.config.max_model_len} tokens; shorten the prompt or ask for fewer tokens"
            )
        needed = self.config.blocks_for(request.longest)
        if needed > self.pool.capacity:
            raise InputError(
                f"prompt of {prompt} tokens and max_tokens {wanted} need {needed} KV blocks of "
                f"{self.config.block_size} tokens, but only {self.pool.capacity} exist; raise --num-blocks to "
                f"{needed + 1} or ask for fewer tokens"
            )
        self.waiting.append(request)

    def cancel(self, request: Request) -> None:
        """End a request wherever it is; a token of it that is still in flight is dropped at commit."""
        if request.state is not State.FINISHED:
            self._finish(request, "cancelled")

    def plan(self) -> Step:
        """Decide the next step and take its blocks. An empty step means that nothing can run now."""
        step = Step()
        left = self.config.token_budget - self._plan_decodes(step)
        left -= self._plan_prefills(step, left)
        if not step.preempted:
            self._admit(step, left)
        return step

    def commit(self, step: Step, tokens: Sequence[int]) -> list[Request]:
        """Accept the sampled tokens, one for each chunk that samples, in order; returns requests that finished."""
        finished = []
        sampled = iter(tokens)
        for chunk in step.chunks:
            request = chunk.request
            token = next(sampled) if chunk.samples else None
            if request.state is State.FINISHED:
                continue
            if token is not None:
                request.in_flight -= 1
                request.tokens.append(token)
            if request.state is State.RUNNING:
                self._register(request, chunk.start + chunk.count)
            reason = request.finish_reason_after(token) if token is not None else None
            if reason is not None:
                self._finish(request, reason)
                finished.append(request)
        return finished

    def check(self) -> None:
        """Raise AssertionError unless queues and block tables agree (tests call this after every operation)."""
        self.pool.check(request.blocks for request in self.running)
        if any(r.state is not State.RUNNING for r in self.running) or len(self.running) > self.config.rows:
            raise AssertionError("the running list holds what is not running, or too much")
        if any(r.state is not State.WAITING or r.blocks for r in self.waiting):
            raise AssertionError("the waiting queue holds what is not waiting, or blocks")

    def _plan_decodes(self, step: Step) -> int:
        for request in [r for r in self.running if r.outstanding == 1]:
            if request.state is State.RUNNING and self._room_for_next(request, step):
                self._take(step.decodes, request, 1)
        return len(step.decodes)

    def _room_for_next(self, request: Request, step: Step) -> bool:
        """Give a decode the block it may need, preempting the newest; False when that was the request itself."""
        if request.computed < len(request.blocks) * self.config.block_size:
            return True
        while not self.pool.available:
            newest = self.running[-1]
            self._preempt(newest)
            step.preempted += 1
            if newest is request:
                return False
        request.blocks += self.pool.allocate(1)
        return True

    def _plan_prefills(self, step: Step, budget: int) -> int:
        prompts = [r for r in self.running if r.outstanding > 1]
        contended = len(prompts) + bool(self.waiting) > 1
        left = budget
        for number, request in enumerate(prompts, start=1):
            keep = len(prompts) - number  # a token for each prompt behind it
            left -= self._take(step.prefills, request, min(self._share(request, contended), left - keep))
        return budget - left

    def _admit(self, step: Step, left: int) -> None:
        contended = len(step.prefills) + len(self.waiting) > 1
        while self.waiting and left > 0 and len(self.running) < self.config.rows:
            request = self.waiting[0]
            if not self._reserve(request):
                return
            self.running.append(self.waiting.popleft())
            request.state = State.RUNNING
            left -= self._take(step.prefills, request, min(self._share(request, contended), left))

    def _reserve(self, request: Request) -> bool:
        """Take blocks for the whole sequence so far, if a step's headroom is left to those already running."""
        length = len(request.tokens)
        found, content = self.pool.lookup(request.tokens, length - 1)
        wanted = self.config.blocks_for(min(length + 1, request.longest)) - len(found)
        idle = sum(self.pool.is_idle(block) for block in found)
        if wanted + idle + len(self.running) > self.pool.available:
            return False
        self.pool.acquire(found)
        request.blocks = found + self.pool.allocate(wanted)
        request.registered, request.content = len(found), content
        request.computed = len(found) * self.config.block_size
        if not request.preemptions:
            request.cached_tokens = request.computed
        return True

    def _share(self, request: Request, contended: bool) -> int:
        budget = self.config.token_budget
        return max(1, budget // LONG_PROMPT_PARTS) if contended and request.outstanding > budget else budget

    def _take(self, chunks: list[Chunk], request: Request, most: int) -> int:
        count = min(request.outstanding, most)
        samples = count == request.outstanding
        chunks.append(Chunk(request, request.computed, count, samples))
        request.computed += count
        request.in_flight += samples
        return count

    def _register(self, request: Request, computed: int) -> None:
        size = self.config.block_size
        for number in range(request.registered, computed // size):
            tokens = request.tokens[number * size : (number + 1) * size]
            request.content = self.pool.register(request.blocks[number], request.content, tokens)
            request.registered = number + 1

    def _preempt(self, request: Request) -> None:
        self._leave(request)
        request.computed = 0
        request.preemptions += 1
        request.state = State.WAITING
        self.waiting.appendleft(request)
        self.preemptions += 1

    def _leave(self, request: Request) -> None:
        """Out of its queue, without blocks."""
        queue = self.running if request.state is State.RUNNING else self.waiting
        queue.remove(request)
        self.pool.release(request.blocks)
        request.blocks = []

    def _finish(self, request: Request, reason: str) -> None:
        self._leave(request)
        request.state = State.FINISHED
        request.finish_reason = reason
