"""What another rank is told of the steps is all that it needs: the tokens, their places and their blocks."""

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import SchedulerConfig
from engine.mirror import Mirror, Note, Teller
from engine.request import Request, SamplingParams, State
from engine.scheduler import Chunk, Scheduler, Step


class Pair:
    """A scheduler, and the mirror that it is told into."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.scheduler = Scheduler(config)
        self.teller = Teller()
        self.mirror = Mirror()

    def compute(self, note: Note, step: Step, held: list[list[int]], chance: random.Random) -> None:
        """As when a launched step is read: tell, compare (the blocks with those at its launch), draw, commit."""
        told = self.mirror.step(self.teller.line(note))
        assert len(told.decodes) == len(step.decodes)
        for theirs, ours, blocks, planned in zip(told.chunks, step.chunks, held, note.planned, strict=True):
            assert theirs.request is not ours.request
            assert (theirs.start, theirs.count, theirs.samples) == (ours.start, ours.count, ours.samples)
            end = ours.start + ours.count
            known = ours.request.tokens[:end]  # without those drawn since it was cancelled
            assert theirs.request.tokens[: len(known)] == known
            assert len(theirs.request.tokens) >= end, "a token is missing"
            assert theirs.request.blocks == blocks
            assert theirs.request.planned == planned
        tokens = [chance.randrange(5) for _ in step.sampled]
        self.mirror.accept(told, tokens)
        self.scheduler.commit(step, tokens)


def held_by(step: Step) -> list[list[int]]:
    return [list(chunk.request.blocks) for chunk in step.chunks]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), ahead=st.integers(0, 1), blocks=st.integers(9, 24), cache=st.booleans())
def test_random_traces(seed: int, ahead: int, blocks: int, cache: bool) -> None:
    """Preempted, cancelled in flight, found in the prefix cache, launched one step ahead."""
    chance = random.Random(seed)
    pair = Pair(SchedulerConfig(4, 12, 4, blocks, 64, cache))
    launched: list[tuple[Note, Step, list[list[int]]]] = []
    requests: list[Request] = []
    for number in range(60):
        if chance.random() < 0.3:
            prompt = [chance.randrange(2) for _ in range(chance.randint(1, 16))]
            params = SamplingParams(max_tokens=chance.randint(1, 14), prompt_logprobs=chance.choice((None, None, 2)))
            requests.append(Request(number, prompt, params, frozenset([4])))
            pair.scheduler.submit(requests[-1])
        if requests and chance.random() < 0.1:
            pair.scheduler.cancel(chance.choice(requests))
        step = pair.scheduler.plan()
        if not step.empty:
            launched.append((Note.of(step), step, held_by(step)))
        if requests and chance.random() < 0.1:
            pair.scheduler.cancel(chance.choice(requests))
        while len(launched) > ahead:
            pair.compute(*launched.pop(0), chance)
    for entry in launched:
        pair.compute(*entry, chance)
    for request in requests:
        pair.scheduler.cancel(request)
    pair.scheduler.submit(Request(1000, [1], SamplingParams(max_tokens=1)))
    last = pair.scheduler.plan()
    pair.compute(Note.of(last), last, held_by(last), chance)
    assert len(pair.mirror._requests) == 1, "requests that have ended are kept"


def test_a_decode_says_little() -> None:
    pair = Pair(SchedulerConfig(block_size=64))
    pair.scheduler.submit(Request(7, list(range(60)), SamplingParams(max_tokens=20)))
    blocks = []
    for number in range(8):
        step = pair.scheduler.plan()
        line = pair.teller.line(Note.of(step))
        blocks.append(json.loads(line)["chunks"][0][-1])
        assert number != 1 or line == '{"ended":[],"new":[],"decodes":1,"chunks":[[7,60,1,true,62,null]]}'
        pair.scheduler.commit(step, [3])
    assert [number for number, told in enumerate(blocks) if told] == [0, 5], "a new block at position 64"


def test_one_that_is_cancelled_in_flight_is_told_whole() -> None:
    """Known from before, out of one step by preemption, in the next, and cancelled before either was computed."""
    lasting, doomed = (Request(number, [number, 5, 6], SamplingParams(max_tokens=9)) for number in (1, 2))
    teller, mirror = Teller(), Mirror()
    first = Step(prefills=[Chunk(lasting, 0, 3, True), Chunk(doomed, 0, 3, True)])
    mirror.accept(mirror.step(teller.line(Note.of(first))), [7, 8])
    lasting.accept(7)
    doomed.accept(8)
    without, again = Note.of(Step([(lasting, 3)])), Note.of(Step(prefills=[Chunk(doomed, 0, 4, True)]))
    doomed.state = State.FINISHED
    mirror.accept(mirror.step(teller.line(without)), [9])
    told = mirror.step(teller.line(again))
    assert told.prefills[0].request.tokens == [2, 5, 6, 8]
