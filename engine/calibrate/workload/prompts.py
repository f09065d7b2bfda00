"""From lengths to prompts: which beginning each request of a level shares, and the tokens themselves."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from engine.calibrate.workload.lengths import Content, Lengths, Span, contents
from engine.errors import InputError

COMMON = 0  # the content that `prefix_share` of the prompt tokens are of
LEAST_CORPUS_TOKENS = 1000
GOLDEN = 0.618
MOST_FIRST = 2**31  # number of a level's first prompt


def common_beginning(lengths: Sequence[Lengths], share: float, block: int) -> int:
    """Tokens of the longest common beginning in a level: the longest prompt's share, in whole blocks of the engine.

    One block more than that, because shares that end within a block are made up for by a longer one now and then.
    """
    longest = max(pair.input for pair in lengths)
    return min(_whole(share * longest, block) + block, _whole(longest - 1, block)) if share else 0


def requests(lengths: Sequence[Lengths], content: Content, block: int) -> Iterator[Lengths]:
    """The requests of a level, without end: `lengths` in turn, from the first again when they run out.

    A prefix cache finds whole blocks of `block` tokens. What one prompt's share lacks to a whole block is owed to the
    next, so that the share is met over all prompt tokens. A second round of a trace has hash ids of its own: nobody
    sends the same prompts again.
    """
    most = common_beginning(lengths, content.prefix_share, block)
    ids = contents(lengths)
    owed = block / 2  # so that shares are rounded, and not cut off: a short level meets its share as well
    for number in itertools.count():
        lap, place = divmod(number, len(lengths))
        pair = lengths[place]
        if most:
            owed += content.prefix_share * pair.input
            shared = min(_whole(owed, block), _whole(pair.input - 1, block), most)
            owed -= shared
            yield pair._replace(spans=(Span(COMMON, shared),) if shared else ())
        else:
            yield pair.renumbered(lap * ids)


def _whole(tokens: float, block: int) -> int:
    return int(tokens) // block * block


class Source(Protocol):
    """Where a prompt's tokens come from."""

    def own(self, count: int, rng: Generator, number: int) -> list[int]:
        """`count` tokens that are in no other prompt of the level; `number` goes up by one from each to the next."""

    def shared(self, count: int, rng: Generator) -> list[int]:
        """`count` tokens; with the same generator a smaller count gives their beginning."""


class RandomTokens:
    """Any of the vocabulary's tokens, one as likely as the other."""

    def __init__(self, vocab: int) -> None:
        self._vocab = vocab

    def own(self, count: int, rng: Generator, number: int) -> list[int]:
        return self.shared(count, rng)

    def shared(self, count: int, rng: Generator) -> list[int]:
        tokens: list[int] = rng.integers(self._vocab, size=count).tolist()
        return tokens


class CorpusTokens:
    """Stretches of a text's tokens `[T]`, from its beginning again at its end."""

    def __init__(self, tokens: NDArray[np.int32]) -> None:
        if len(tokens) < LEAST_CORPUS_TOKENS:
            raise InputError(
                f"text has {len(tokens)} tokens; it must have at least {LEAST_CORPUS_TOKENS}, so that prompts differ"
            )
        self._tokens = tokens
        # Prompts start everywhere in the text before two start at the same place.
        self._stride = next(n for n in itertools.count(int(GOLDEN * len(tokens))) if math.gcd(n, len(tokens)) == 1)

    def own(self, count: int, rng: Generator, number: int) -> list[int]:
        return self._from(number * self._stride, count)

    def shared(self, count: int, rng: Generator) -> list[int]:
        return self._from(int(rng.integers(len(self._tokens))), count)

    def _from(self, start: int, count: int) -> list[int]:
        tokens: list[int] = self._tokens[np.arange(start, start + count) % len(self._tokens)].tolist()
        return tokens


class Prompts:
    """Token ids for the requests of one level. The same seed and the same requests give the same prompts."""

    def __init__(self, source: Source, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._number = int(np.random.default_rng([seed, 0]).integers(MOST_FIRST))
        self._contents: dict[int, list[int]] = {}

    def tokens(self, lengths: Lengths) -> list[int]:
        """`[lengths.input]`"""
        shared = (self._shared(span) for span in lengths.spans)
        self._number += 1
        return [*itertools.chain.from_iterable(shared), *self._source.own(lengths.own, self._rng, self._number)]

    def _shared(self, span: Span) -> list[int]:
        known = self._contents.get(span.content, [])
        if len(known) < span.tokens:
            rng = np.random.default_rng([self._seed, 1 + span.content])
            known = self._contents[span.content] = self._source.shared(span.tokens, rng)
        return known[: span.tokens]


def marks(lengths: Lengths, number: int) -> list[int]:
    """Stand-ins for a prompt's tokens, alike just where real ones would be; `number` is the request's, from 0 up."""
    shared = ([span.content] * span.tokens for span in lengths.spans)
    return [*itertools.chain.from_iterable(shared), *[-1 - number] * lengths.own]
