"""The scheduler and block pool without a model: thousands of random traces, the books checked after every operation."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.kv_cache import BlockPool
from engine.request import Request, SamplingParams, State
from engine.scheduler import Scheduler, Step
from engine.waiting import WaitingQueue


def make_request(
    number: int, prompt: list[int], max_tokens: int, *, stop_ids: frozenset[int] = frozenset(), priority: int = 0
) -> Request:
    return Request(number, prompt, SamplingParams(max_tokens=max_tokens), stop_ids, priority)


def next_token(request: Request) -> int:
    """A toy model: the next token depends on the whole sequence, so a lost or doubled token changes everything."""
    return hash(tuple(request.tokens)) % 50


def commit(scheduler: Scheduler, step: Step) -> list[Request]:
    return scheduler.commit(step, [next_token(request) for request in step.sampled])


def drain(scheduler: Scheduler, most_steps: int = 100_000) -> None:
    for _ in range(most_steps):
        if scheduler.idle:
            return
        step = scheduler.plan()
        assert not step.empty, "a plan neither progressed nor found the engine empty"
        commit(scheduler, step)
    raise AssertionError("still busy")


def alone(prompt: list[int], max_tokens: int) -> list[int]:
    request = make_request(0, prompt, max_tokens)
    scheduler = Scheduler(SchedulerConfig(num_blocks=1 + 64, block_size=16, max_model_len=1024))
    scheduler.submit(request)
    drain(scheduler)
    return request.output


configs = st.builds(
    SchedulerConfig,
    max_batch=st.integers(1, 6),
    token_budget=st.integers(1, 24),
    block_size=st.integers(1, 8),
    num_blocks=st.integers(9, 30),
    max_model_len=st.just(64),
    prefix_cache=st.booleans(),
)


@settings(max_examples=1500, deadline=None)
@given(configs, st.integers(0, 2**32), st.integers(0, 1))
def test_random_traces_keep_every_promise(config: SchedulerConfig, seed: int, ahead: int) -> None:
    """Submit, plan, commit (also one step late) and cancel at random; then drain."""
    chance = random.Random(seed)
    scheduler = Scheduler(config)
    requests: list[Request] = []
    launched: list[Step] = []
    for number in range(chance.randint(5, 60)):
        if chance.random() < 0.4:
            prompt = [chance.randint(0, 1) for _ in range(chance.randint(1, 20))]
            request = make_request(number, prompt, chance.randint(1, 20), priority=chance.choice((0, 0, 0, 1, -1)))
            try:
                scheduler.submit(request)
                requests.append(request)
            except InputError:
                assert config.blocks_for(request.longest) > config.num_blocks - 1
        if chance.random() < 0.1 and requests:
            scheduler.cancel(chance.choice(requests))
            scheduler.check()
        _plan_checked(scheduler, launched)
        while len(launched) > ahead:
            commit(scheduler, launched.pop(0))
            scheduler.check()
    for step in launched:
        commit(scheduler, step)
    drain(scheduler)
    scheduler.check()
    assert scheduler.pool.available == scheduler.pool.capacity
    for request in requests:
        assert request.state is State.FINISHED
        if request.finish_reason == "length":
            assert request.output == alone(request.prompt, request.params.max_tokens)


def _plan_checked(scheduler: Scheduler, launched: list[Step]) -> None:
    busy = not scheduler.idle
    open_ended = [r for r in scheduler.running if r.computed < r.longest]  # the others' last token is on its way
    step = scheduler.plan()
    scheduler.check()
    config = scheduler.config
    assert len(step.decodes) + step.prefill_tokens <= config.token_budget
    planned = [id(r) for r, _ in step.decodes] + [id(c.request) for c in step.prefills]
    assert len(set(planned)) == len(planned) <= config.rows
    assert all(id(r) in planned or r.state is State.WAITING for r in open_ended), "a running request was passed over"
    if busy and not launched:
        assert not step.empty
    if not step.empty:
        launched.append(step)


def test_long_prompt_neither_starves_decodes_nor_blocks_short_prompts() -> None:
    scheduler = Scheduler(SchedulerConfig(token_budget=64, block_size=16, num_blocks=2000, max_model_len=20_000))
    decoding = make_request(0, [1, 2, 3], 1000)
    scheduler.submit(decoding)
    commit(scheduler, scheduler.plan())
    scheduler.submit(make_request(1, list(range(15_000)), 4))
    short = make_request(2, [7] * 10, 1)
    scheduler.submit(short)
    step = scheduler.plan()
    assert [request for request, _ in step.decodes] == [decoding]
    assert short in [c.request for c in step.prefills]
    assert short in commit(scheduler, step)


def test_many_long_prompts_do_not_block_short_ones() -> None:
    scheduler = Scheduler(SchedulerConfig(token_budget=64, block_size=16, num_blocks=9000, max_model_len=20_000))
    for number in range(8):
        scheduler.submit(make_request(number, [number] * 15_000, 4))
    for _ in range(20):
        commit(scheduler, scheduler.plan())
    short = make_request(9, [7] * 10, 1)
    scheduler.submit(short)
    step = scheduler.plan()
    assert short in commit(scheduler, step)
    assert step.prefill_tokens == 64, "and what the short one leaves is used"


def test_lower_priority_numbers_run_first_and_are_preempted_last() -> None:
    scheduler = Scheduler(SchedulerConfig(max_batch=2, token_budget=64, block_size=4, num_blocks=1 + 12))
    late, soon, sooner = (make_request(n, [n] * 8, 30, priority=priority) for n, priority in enumerate((5, 0, -1)))
    for request in (late, soon, sooner):
        scheduler.submit(request)
    commit(scheduler, scheduler.plan())
    assert scheduler.running == [sooner, soon]
    drain(scheduler)
    assert soon.preemptions > 0
    assert sooner.preemptions == 0


def test_a_preempted_request_comes_before_those_that_arrived_after_it() -> None:
    scheduler = Scheduler(SchedulerConfig(max_batch=4, token_budget=64, block_size=4, num_blocks=1 + 12))
    requests = [make_request(n, [n] * 8, 24) for n in range(9)]
    for request in requests:
        scheduler.submit(request)
    while not scheduler.preemptions:
        commit(scheduler, scheduler.plan())
    assert scheduler.waiting.first is next(request for request in requests if request.preemptions)


def test_the_waiting_queue_forgets_what_was_cancelled() -> None:
    queue = WaitingQueue()
    requests = [make_request(n, [1], 1, priority=-n) for n in range(10_000)]
    for request in requests:
        queue.push(request)
    for request in requests[5:]:  # those in front
        request.state = State.FINISHED
        queue.forget(request)
    assert len(queue) == len(list(queue)) == 5
    assert len(queue._heap) < 40, "cancelled requests are kept alive"
    assert [queue.pop().id for _ in range(5)] == [4, 3, 2, 1, 0]
    assert not queue


def test_a_last_token_in_flight_takes_no_further_step() -> None:
    scheduler = Scheduler(SchedulerConfig(block_size=4, num_blocks=3))
    request = make_request(0, [1] * 5, 4)
    scheduler.submit(request)
    steps = [scheduler.plan() for _ in range(4)]  # as one ahead would, and further
    assert scheduler.plan().empty
    for step in steps:
        scheduler.commit(step, [7])
    assert (request.finish_reason, request.output) == ("length", [7] * 4)


def test_preempted_requests_resume_in_order_and_finish() -> None:
    scheduler = Scheduler(SchedulerConfig(max_batch=4, token_budget=64, block_size=4, num_blocks=1 + 12))
    requests = [make_request(n, [n] * 8, 24) for n in range(4)]
    for request in requests:
        scheduler.submit(request)
    finished: list[int] = []
    while not scheduler.idle:
        finished += [r.id for r in commit(scheduler, scheduler.plan())]
        scheduler.check()
    assert scheduler.preemptions > 0
    assert requests[0].preemptions == 0, "the oldest is never preempted"
    assert sorted(finished) == [0, 1, 2, 3]


def test_prefix_hit_skips_full_blocks_but_always_computes_one_token() -> None:
    scheduler = Scheduler(SchedulerConfig(block_size=4, num_blocks=64))
    for number, expected in enumerate([0, 4, 4]):
        request = make_request(number, [1, 2, 3, 4, 5, 6, 7, 8], 1)
        scheduler.submit(request)
        drain(scheduler)
        assert request.cached_tokens == expected


def test_evicted_chain_is_not_found_through_a_reused_block() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    first, second = pool.allocate(2)
    head = pool.register(first, 0, [1, 1])
    pool.register(second, head, [2, 2])
    pool.release([first])
    [reused] = pool.allocate(1)
    assert reused == first
    pool.register(reused, 0, [1, 1])
    assert pool.lookup([1, 1, 2, 2], 4)[0] == [first]
    pool.check([[first], [second]])


def test_after_a_reset_blocks_that_lie_together_are_handed_out_together() -> None:
    pool = BlockPool(num_blocks=9, block_size=1)
    held, *others = pool.allocate(6)
    for block in (held, *others):
        pool.register(block, 0, [block])
    pool.release(others[::2])
    pool.release(others[1::2])
    pool.reset()
    assert pool.lookup([held], 1)[0] == []
    assert pool.allocate(7) == [block for block in range(1, 9) if block != held]
    pool.check([[held], [block for block in range(1, 9) if block != held]])


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "words"),
    [(0, 4, "empty"), (90, 20, "100 tokens"), (40, 40, "need 20 KV blocks of 4 tokens, but only 15 exist")],
)
def test_impossible_requests_are_refused_at_submit(prompt: int, max_tokens: int, words: str) -> None:
    scheduler = Scheduler(SchedulerConfig(block_size=4, num_blocks=16, max_model_len=100))
    with pytest.raises(InputError, match=words):
        scheduler.submit(make_request(0, [1] * prompt, max_tokens))
    assert scheduler.idle
