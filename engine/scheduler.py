"""Which tokens are computed next. Torch-free: the same code plans for a real device and for the simulator's clock.

    submit ─► waiting ─► running ─► finished
                 ▲          │
                 └──────────┘ preempted: blocks given back, recomputed later

One token budget a step. Every running request gets at least one token each step (there are never more of them than
the budget has tokens): decodes first, then prompts in progress, then new prompts while tokens, rows and blocks last.
Requests are ordered by priority, then arrival: admitted in this order, preempted in the reverse.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.kv_cache import BlockPool
from engine.request import Request, State
from engine.waiting import WaitingQueue, by_priority

# A prompt longer than a step's budget gets one part in so many of it while others wait, so that it blocks nobody.
LONG_PROMPT_PARTS = 4


@dataclass(slots=True)
class Chunk:
    """Tokens `start .. start + count` of a request; `samples` when the last of them yields a new token."""

    request: Request
    start: int
    count: int
    samples: bool


@dataclass(slots=True)
class Step:
    """One forward pass: decodes, which are (request, position) of one token each, before prompt chunks.

    Tokens come back one for each decode, then one for each chunk that samples.
    """

    decodes: list[tuple[Request, int]] = field(default_factory=list)
    prefills: list[Chunk] = field(default_factory=list)
    preempted: int = 0

    @property
    def empty(self) -> bool:
        return not self.decodes and not self.prefills

    @property
    def chunks(self) -> list[Chunk]:
        return [Chunk(request, position, 1, True) for request, position in self.decodes] + self.prefills

    @property
    def sampled(self) -> list[Request]:
        """The requests that get a token, in the order of the tokens."""
        return [request for request, _ in self.decodes] + [c.request for c in self.prefills if c.samples]

    @property
    def prefill_tokens(self) -> int:
        return sum(chunk.count for chunk in self.prefills)

    @property
    def decode_context(self) -> int:
        """KV tokens that the decodes read."""
        return sum(position for _, position in self.decodes) + len(self.decodes)

    @property
    def prefill_pairs(self) -> int:
        """Query-key pairs that the prompt chunks compute."""
        return sum(c.count * c.start + c.count * (c.count + 1) // 2 for c in self.prefills)


class Scheduler:
    """Requests in, steps out. `plan()` may run one step ahead of `commit()`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.pool = BlockPool(config.num_blocks, config.block_size, config.prefix_cache)
        self.waiting = WaitingQueue()
        self.running: list[Request] = []  # by priority, then arrival
        self.preemptions = 0
        self._arrivals = 0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def submit(self, request: Request) -> None:
        """Queue a request; raises InputError for one that could never be served."""
        self.refuse_impossible(request)
        request.arrival = self._arrivals
        self._arrivals += 1
        self.waiting.push(request)

    def refuse_impossible(self, request: Request) -> None:
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

    def cancel(self, request: Request, reason: str = "cancelled") -> None:
        """End a request wherever it is; a token of it that is still in flight is dropped at commit."""
        if request.state is not State.FINISHED:
            self._finish(request, reason)

    @property
    def live(self) -> list[Request]:
        return [*self.running, *self.waiting]

    @property
    def may_run_ahead(self) -> bool:
        """Whether a step can be laid out while the tokens before it are still unknown."""
        return not any(request.looks_back for request in self.running)

    def plan(self) -> Step:
        """Decide the next step and take its blocks. An empty step means that nothing can run now."""
        step = Step()
        prompts = self._plan_decodes(step)
        left = self.config.token_budget - len(step.decodes)
        if any(self._is_long(request) for request in prompts):
            # They would take all that is left: what waits gets its part before them.
            left -= self._admit(step, min(self._part, left - len(prompts)), len(prompts))
        left -= self._plan_prefills(step, prompts, left)
        self._admit(step, left, len(prompts))
        return step

    def commit(self, step: Step, tokens: Sequence[int]) -> list[Request]:
        """Accept the sampled tokens, in the step's order; returns requests that finished."""
        finished: list[Request] = []
        size = self.config.block_size
        sampled = iter(tokens)
        for (request, position), token in zip(step.decodes, sampled, strict=False):
            if (position + 1) % size == 0:
                self._register(request, position + 1)
            self._accept(request, token, finished)
        for chunk in step.prefills:
            self._register(chunk.request, chunk.start + chunk.count)
            if chunk.samples:
                self._accept(chunk.request, next(sampled), finished)
        return finished

    def grow(self, request: Request, count: int) -> None:
        """Give a running request `count` blocks more; the caller has looked at `pool.available`."""
        self._hold(request, request.blocks + self.pool.allocate(count))

    def check(self) -> None:
        """Raise AssertionError unless queues and block tables agree (tests call this after every operation)."""
        self.pool.check(request.blocks for request in self.running)
        if any(r.state is not State.RUNNING for r in self.running) or len(self.running) > self.config.rows:
            raise AssertionError("the running list holds what is not running, or too much")
        if sorted(self.running, key=by_priority) != self.running:
            raise AssertionError("the running list is out of order")
        waiting = list(self.waiting)
        if len(waiting) != len(self.waiting) or any(r.blocks for r in waiting):
            raise AssertionError("the waiting queue counts wrongly, or holds blocks")
        for request in self.running:
            if not request.computed <= request.ceiling <= len(request.blocks) * self.config.block_size:
                raise AssertionError(f"request {request.id} computes beyond its blocks")

    def _plan_decodes(self, step: Step) -> list[Request]:
        """Plan a token for each that is generating; returns the prompts in progress."""
        prompts = []
        for request in self.running:  # the newest of which may leave meanwhile
            position = request.computed
            if request.planned - position != 1:
                prompts.append(request)
            elif position < request.ceiling or self._room_for_next(request, step):
                request.computed = position + 1
                request.planned += 1
                step.decodes.append((request, position))
        return prompts

    def _room_for_next(self, request: Request, step: Step) -> bool:
        """Give a decode the block it needs, preempting the newest; False when that was the request itself, or when
        its last token is already on its way."""
        if request.computed >= request.longest:
            return False
        while not self.pool.available:
            newest = self.running[-1]
            self._preempt(newest)
            step.preempted += 1
            if newest is request:
                return False
        self.grow(request, 1)
        return True

    def _plan_prefills(self, step: Step, prompts: list[Request], budget: int) -> int:
        contended = len(prompts) + bool(self.waiting) > 1
        left = budget
        for number, request in enumerate(prompts, start=1):
            keep = len(prompts) - number  # a token for each prompt behind it
            left -= self._take(step, request, min(self._share(request, contended), left - keep))
        return budget - left

    def _admit(self, step: Step, budget: int, prompts: int) -> int:
        """Start what waits, beside so many prompts in progress; returns the tokens given. Not while memory is short."""
        contended = prompts + len(self.waiting) > 1
        left = budget
        while self.waiting and left > 0 and len(self.running) < self.config.rows and not step.preempted:
            request = self.waiting.first
            if not self._reserve(request):
                break
            self.waiting.pop()
            insort(self.running, request, key=by_priority)
            request.state = State.RUNNING
            left -= self._take(step, request, min(self._share(request, contended), left))
        return budget - left

    def _reserve(self, request: Request) -> bool:
        """Take blocks for the whole sequence so far, if a step's headroom is left to those already running."""
        found, content = self.pool.lookup(request.tokens, request.findable)
        wanted = self.config.blocks_for(min(len(request.tokens) + 1, request.longest)) - len(found)
        idle = sum(self.pool.is_idle(block) for block in found)
        if wanted + idle + len(self.running) > self.pool.available:
            return False
        self.pool.acquire(found)
        self._hold(request, found + self.pool.allocate(wanted))
        request.registered, request.content = len(found), content
        request.computed = len(found) * self.config.block_size
        if not request.preemptions:
            request.cached_tokens = request.computed
        return True

    @property
    def _part(self) -> int:
        return max(1, self.config.token_budget // LONG_PROMPT_PARTS)

    def _is_long(self, request: Request) -> bool:
        return request.outstanding > self.config.token_budget

    def _share(self, request: Request, contended: bool) -> int:
        return self._part if contended and self._is_long(request) else self.config.token_budget

    def _take(self, step: Step, request: Request, most: int) -> int:
        count = min(request.outstanding, most)
        samples = count == request.outstanding
        step.prefills.append(Chunk(request, request.computed, count, samples))
        request.computed += count
        request.planned += samples
        return count

    def _accept(self, request: Request, token: int, finished: list[Request]) -> None:
        if request.state is not State.FINISHED:
            reason = request.accept(token)
            if reason is not None:
                self._finish(request, reason)
                finished.append(request)

    def _register(self, request: Request, computed: int) -> None:
        """Make the full blocks among the first `computed` tokens findable, unless they were given back meanwhile."""
        if request.state is not State.RUNNING:
            return
        size = self.config.block_size
        for number in range(request.registered, computed // size):
            tokens = request.tokens[number * size : (number + 1) * size]
            request.content = self.pool.register(request.blocks[number], request.content, tokens)
            request.registered = number + 1

    def _preempt(self, request: Request) -> None:
        self._release(request)
        request.computed = 0
        request.preemptions += 1
        request.state = State.WAITING
        self.waiting.push(request)
        self.preemptions += 1

    def _finish(self, request: Request, reason: str) -> None:
        before = request.state
        request.state = State.FINISHED
        request.finish_reason = reason
        if before is State.RUNNING:
            self._release(request)
        else:
            self.waiting.forget(request)

    def _release(self, request: Request) -> None:
        self.running.remove(request)
        self.pool.release(request.blocks)
        self._hold(request, [])

    def _hold(self, request: Request, blocks: list[int]) -> None:
        request.blocks = blocks
        request.ceiling = min(len(blocks) * self.config.block_size, request.longest)
