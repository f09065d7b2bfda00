"""Prompts: how much of them is shared, that the rest is not, and that the same seed makes the same ones."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrate.load import run_level
from engine.calibrate.simulator import OpenLoad, SimulatedBackend
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Content, Lengths, Span, Workload
from engine.calibrate.workload.lengths import found_share
from engine.calibrate.workload.prompts import (
    CorpusTokens,
    Prompts,
    RandomTokens,
    common_beginning,
    marks,
    requests,
)
from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.kv_cache import BlockPool


def first(count: int, lengths: Sequence[Lengths], content: Content, block: int) -> list[Lengths]:
    return list(itertools.islice(requests(lengths, content, block), count))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(200, 3000), min_size=1, max_size=9),
    st.floats(0.05, 0.8),
    st.sampled_from([1, 16, 64]),
)
def test_a_share_is_met_in_whole_blocks_over_all_prompts(inputs: list[int], share: float, block: int) -> None:
    made = first(400, [Lengths(tokens, 1) for tokens in inputs], Content(share), block)
    shared = [sum(span.tokens for span in lengths.spans) for lengths in made]
    assert sum(shared) / sum(lengths.input for lengths in made) == pytest.approx(share, abs=0.005)
    assert all(tokens % block == 0 for tokens in shared)
    assert all(lengths.own >= 1 for lengths in made), "the last token is always computed"
    longest = common_beginning([Lengths(tokens, 1) for tokens in inputs], share, block)
    assert max(shared) <= longest <= share * max(inputs) + block


def test_prompts_shorter_than_a_block_share_nothing() -> None:
    short = [Lengths(60, 1)]
    assert common_beginning(short, 0.9, 64) == 0
    assert first(3, short, Content(0.9), 64) == short * 3


def test_a_second_round_of_a_trace_is_not_the_first_once_more() -> None:
    lengths = [Lengths(10, 1, (Span(0, 5), Span(3, 5))), Lengths(12, 1, (Span(0, 5),))]
    made = first(4, lengths, Content(), 64)
    assert made[:2] == lengths
    assert [pair.spans for pair in made[2:]] == [(Span(4, 5), Span(7, 5)), (Span(4, 5),)]


CORPUS = np.random.default_rng(0).permutation(5000).astype(np.int32)


@pytest.mark.parametrize("source", [RandomTokens(50_000), CorpusTokens(CORPUS)])
def test_prompts_are_alike_exactly_as_far_as_their_spans(source: RandomTokens | CorpusTokens) -> None:
    prompts = Prompts(source, seed=4)
    short, long = (prompts.tokens(Lengths(400, 1, (Span(2, 100), Span(9, count)))) for count in (50, 200))
    other = prompts.tokens(Lengths(400, 1, (Span(3, 100),)))
    assert [len(prompt) for prompt in (short, long, other)] == [400, 400, 400]
    assert short[:150] == long[:150], "fewer tokens of a content are its beginning"
    assert all(one != another for one, another in zip(short[150:160], long[150:160], strict=True))
    assert short[:100] != other[:100]
    again = Prompts(source, seed=4)
    assert again.tokens(Lengths(400, 1, (Span(2, 100), Span(9, 50)))) == short
    assert Prompts(source, seed=5).tokens(Lengths(400, 1, (Span(2, 100), Span(9, 50)))) != short


def test_prompts_of_a_text_are_stretches_of_it_that_start_at_different_places() -> None:
    prompts = Prompts(CorpusTokens(CORPUS), seed=1)
    assert len({prompts.tokens(Lengths(1, 1))[0] for _ in range(5000)}) == 5000
    place = {token: number for number, token in enumerate(CORPUS.tolist())}
    longer = [place[token] for token in prompts.tokens(Lengths(7000, 1))]
    assert np.all(np.diff(longer) % 5000 == 1), "from its beginning again at its end"


def test_too_little_text_is_refused() -> None:
    with pytest.raises(InputError, match="999 tokens; it must have at least 1000"):
        CorpusTokens(CORPUS[:999])


def test_marks_are_alike_where_tokens_are() -> None:
    requested = [Lengths(300, 1, (Span(2, 64), Span(9, 120))), Lengths(300, 1, (Span(2, 64), Span(9, 64)))]
    prompts = Prompts(RandomTokens(50_000), seed=4)
    for kind in ([prompts.tokens(pair) for pair in requested], [marks(pair, n) for n, pair in enumerate(requested)]):
        one, other = kind
        assert one[:128] == other[:128]
        assert all(a != b for a, b in zip(one[128:], other[128:], strict=True))
        pool = BlockPool(20, 64)
        content, blocks = 0, pool.allocate(4)
        for number, block in enumerate(blocks):
            content = pool.register(block, content, one[64 * number : 64 * number + 64])
        assert len(pool.lookup(other, 299)[0]) == 2


def served(workload: Workload, limits: SchedulerConfig, rate: float, count: int = 300) -> list[tuple[int, int]]:
    """Input and cached tokens of each request, simulated."""
    truth = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002)
    spec = OpenLoad.draw(workload, count, 1).level("", "", 0, rate, 0, math.inf)
    log = run_level(SimulatedBackend(limits, truth.ms), spec, keep_steps=False)
    return [(row.input, row.cached) for row in log.requests]


def hit_share(rows: Sequence[tuple[int, int]]) -> float:
    return sum(cached for _, cached in rows) / sum(tokens for tokens, _ in rows)


@pytest.mark.parametrize("block_size", [16, 64])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.65])
def test_the_simulator_finds_the_share_asked_for(share: float, block_size: int) -> None:
    lengths = (Lengths(150, 20), Lengths(600, 8), Lengths(1024, 5))
    workload = Workload("mix", lengths, (1.0, 1.0, 1.0), prefix_hit_share=share, content=Content(share))
    limits = SchedulerConfig(max_batch=16, token_budget=512, block_size=block_size, num_blocks=40_000 // block_size)
    assert hit_share(served(workload, limits, 2.0)) == pytest.approx(share, abs=0.01)
    none = SchedulerConfig(max_batch=16, token_budget=512, num_blocks=600, prefix_cache=False)
    assert hit_share(served(workload, none, 2.0)) == 0, "without a prefix cache nothing is found"


def conversations(turns: int, block: int) -> tuple[Lengths, ...]:
    """Three that take turns, each of whose prompts begins with the one before."""
    made = []
    for turn, who in itertools.product(range(1, turns + 1), range(3)):
        spans = tuple(Span(100 * who + place, block) for place in range(turn))
        made.append(Lengths(turn * block + 10, 4, spans))
    return tuple(made)


def test_the_simulator_finds_what_hash_ids_say() -> None:
    lengths = conversations(20, 64)
    workload = Workload("trace", lengths, (1.0,) * len(lengths), by_hash_ids=True)
    limits = SchedulerConfig(max_batch=16, token_budget=512, block_size=64, num_blocks=4000)
    rows = served(workload, limits, 0.001, count=len(lengths))  # one after the other
    sent = OpenLoad.draw(workload, len(lengths), 1).lengths
    assert hit_share(rows) == pytest.approx(found_share(sent), abs=1e-9)
    assert hit_share(rows) > 0.5
    scarce = SchedulerConfig(max_batch=2, token_budget=512, block_size=64, num_blocks=24)
    assert hit_share(served(workload, scarce, 0.001, count=len(lengths))) < 0.3, "what was evicted is not found"
