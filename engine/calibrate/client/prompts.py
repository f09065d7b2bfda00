"""What is sent: random token ids, or random words to a server that takes no ids.

Nothing is sent twice. A server's prefix cache can't be emptied from here, and the same prompts again would find
themselves in it, so each level of each run draws its own, whatever its seed.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.random import Generator

from engine.calibrate.workload import Lengths

IDS = (1000, 31000)  # in the vocabulary of every current model, clear of special tokens at either end
# A token each, with the space before it, in all common vocabularies.
COMMON = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its "
    "about than into them can only other time new some could these two may first then do any like my now over such "
    "our man me even most made after also did many off before must well back through years much where your way down "
    "should because long each just state those people too good little world"
)
WORDS = tuple(COMMON.split())


@dataclass(slots=True)
class Prompts:
    """Makes prompts of the lengths asked for. As text, a prompt of `w` words is `base + per_word·w` tokens."""

    form: Literal["ids", "words"] = "ids"
    base: float = 0.0
    per_word: float = 1.0
    _rng: Generator = field(default_factory=np.random.default_rng)

    def reset(self, seed: int) -> None:
        """Draw the following prompts from this seed and something nobody else has."""
        self._rng = np.random.default_rng([seed, secrets.randbits(64)])

    def draw(self, lengths: Lengths) -> list[int] | str:
        if self.form == "ids":
            return self.ids(lengths.input)
        return self.text(max(1, round((lengths.input - self.base) / self.per_word)))

    def of(self, ids: Sequence[int]) -> list[int] | str:
        """A given prompt: its ids, or a text that is a function of them."""
        return list(ids) if self.form == "ids" else _text(ids)

    def ids(self, count: int) -> list[int]:
        ids: list[int] = self._rng.integers(*IDS, size=count).tolist()
        return ids

    def text(self, words: int) -> str:
        return _text(self.ids(words))


def _text(ids: Iterable[int]) -> str:
    return " ".join(WORDS[number % len(WORDS)] for number in ids)
