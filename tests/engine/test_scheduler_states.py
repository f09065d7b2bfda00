"""Pool and scheduler as a state machine: hypothesis looks for an order of operations that breaks the books, and shrinks
it to the shortest. `check()` runs after every operation."""

from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.config import SchedulerConfig
from engine.kv_cache import BlockPool
from engine.request import Request, SamplingParams, State
from engine.scheduler import Scheduler, Step

BLOCKS = 12
BLOCK_SIZE = 2
PREFIX = [1, 1, 1, 1, 1, 1]


class SchedulerMachine(RuleBasedStateMachine):
    """Plans run up to one step ahead of commits; prompts share prefixes; memory is short."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.launched: list[Step] = []

    @initialize(budget=st.integers(1, 9), rows=st.integers(1, 4), cache=st.booleans())
    def start(self, budget: int, rows: int, cache: bool) -> None:
        self.scheduler = Scheduler(SchedulerConfig(rows, budget, BLOCK_SIZE, BLOCKS + 1, 24, cache))

    @rule(shared=st.integers(0, 6), own=st.integers(1, 9), output=st.integers(1, 9), priority=st.integers(-1, 1))
    def submit(self, shared: int, own: int, output: int, priority: int) -> None:
        prompt = PREFIX[:shared] + [2 + (own + i) % 3 for i in range(own)]
        request = Request(len(self.requests), prompt, SamplingParams(max_tokens=output), frozenset([7]), priority)
        self.scheduler.submit(request)
        self.requests.append(request)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.scheduler.cancel(data.draw(st.sampled_from(self.requests)))

    @precondition(lambda self: len(self.launched) < 2)
    @rule()
    def plan(self) -> None:
        step = self.scheduler.plan()
        if not step.empty:
            self.launched.append(step)

    @precondition(lambda self: self.launched)
    @rule(token=st.integers(1, 7))
    def commit(self, token: int) -> None:
        step = self.launched.pop(0)
        for request in self.scheduler.commit(step, [token] * len(step.sampled)):
            assert request.finish_reason == ("stop" if token == 7 else "length")

    @rule(steps=st.integers(2, 8))
    def run(self, steps: int) -> None:
        """Some steps at once, so that requests grow until memory is short."""
        for _ in range(steps):
            self.plan()
            self.scheduler.check()
            if self.launched:
                self.commit(1)

    @rule()
    def forget_the_prefixes(self) -> None:
        self.scheduler.pool.reset()

    @invariant()
    def books_agree(self) -> None:
        self.scheduler.check()
        for request in self.requests:
            queued = (request in self.scheduler.running) + (request in list(self.scheduler.waiting))
            assert queued == (request.state is not State.FINISHED)
            assert len(request.output) <= request.params.max_tokens

    def teardown(self) -> None:
        for step in self.launched:
            self.scheduler.commit(step, [1] * len(step.sampled))
        for _ in range(1000):
            if self.scheduler.idle:
                break
            step = self.scheduler.plan()
            assert not step.empty, "stuck"
            self.scheduler.commit(step, [1] * len(step.sampled))
        self.scheduler.check()
        assert self.scheduler.idle
        assert self.scheduler.pool.available == BLOCKS


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def acquire_counts_the_first_holder_only(pool: BlockPool, blocks: Iterable[int]) -> None:
    for block in blocks:
        if pool._references[block] == 0:
            del pool._idle[block]
            pool._references[block] += 1


def release_leaves_the_last_block(pool: BlockPool, blocks: Sequence[int]) -> None:
    RELEASE(pool, blocks[:-1])


def release_frees_one_holder_too_early(pool: BlockPool, blocks: Sequence[int]) -> None:
    for block in blocks:
        pool._references[block] -= 1
        if pool._references[block] <= 1:
            pool._idle[block] = None


RELEASE = BlockPool.release


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("acquire", acquire_counts_the_first_holder_only),
        ("release", release_leaves_the_last_block),
        ("release", release_frees_one_holder_too_early),
    ],
)
def test_a_fault_in_reference_counting_is_found(
    method: str, fault: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BlockPool, method, fault)
    hunt = settings(max_examples=300, deadline=None, phases=[Phase.generate], database=None)
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(SchedulerMachine, settings=hunt)
