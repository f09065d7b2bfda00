"""What is sent: random token ids, or random words to a server that takes no ids.

Nothing is sent twice but what a workload wants shared. A server's prefix cache can't be emptied from here, and the same
prompts again would find themselves in it, so each level of each run draws its own, whatever its seed.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from numpy.random import Generator

from engine.calibrate.workload import Lengths, Span
from engine.calibrate.workload import prompts as workload

IDS = (1000, 31000)  # in the vocabulary of every current model, clear of special tokens at either end
# A token each, with the space before it, in all common vocabularies.
COMMON_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its "
    "about than into them can only other time new some could these two may first then do any like my now over such "
    "our man me even most made after also did many off before must well back through years much where your way down "
    "should because long each just state those people too good little world"
)
WORDS = tuple(COMMON_WORDS.split())


class SafeIds:
    """Ids that any model knows, one as likely as the other."""

    def own(self, count: int, rng: Generator, number: int) -> list[int]:
        return self.shared(count, rng)

    def shared(self, count: int, rng: Generator) -> list[int]:
        ids: list[int] = rng.integers(*IDS, size=count).tolist()
        return ids


@dataclass(slots=True)
class Prompts:
    """Makes prompts of the lengths asked for. As text, a prompt of `w` words is `base + per_word·w` tokens."""

    form: Literal["ids", "words"] = "ids"
    base: float = 0.0
    per_word: float = 1.0
    _drawn: workload.Prompts = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Draw the following prompts, and what they share, anew."""
        self._drawn = workload.Prompts(SafeIds(), secrets.randbits(62))

    def draw(self, lengths: Lengths) -> list[int] | str:
        if self.form == "ids":
            return self._drawn.tokens(lengths)
        spans = tuple(Span(span.content, self._words(span.tokens)) for span in lengths.spans)
        own = max(1, self._words(lengths.own - self.base))
        return self.text(own, spans)

    def text(self, own: int, spans: tuple[Span, ...] = ()) -> str:
        """So many words of its own, after those that it shares."""
        words = own + sum(span.tokens for span in spans)
        return _text(self._drawn.tokens(Lengths(words, 1, spans)))

    def of(self, ids: Sequence[int]) -> list[int] | str:
        """A given prompt: its ids, or a text that is a function of them."""
        return list(ids) if self.form == "ids" else _text(ids)

    def _words(self, tokens: float) -> int:
        return round(tokens / self.per_word)


def _text(ids: Iterable[int]) -> str:
    return " ".join(WORDS[number % len(WORDS)] for number in ids)
