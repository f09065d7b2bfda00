"""One request as it is asked for, and what all prompts of a level are made of; both travel to the worker as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Span(NamedTuple):
    """The first `tokens` tokens of the content that goes by this number: alike in every prompt that begins with it."""

    content: int
    tokens: int


class Lengths(NamedTuple):
    """Tokens of one request: its prompt, and what is generated after it.

    The prompt begins with `spans`, one behind the other; what is left of it is its own and in no other prompt.
    """

    input: int
    output: int
    spans: tuple[Span, ...] = ()

    @property
    def total(self) -> int:
        return self.input + self.output

    @property
    def own(self) -> int:
        """Tokens of the prompt that no other shares."""
        return self.input - sum(span.tokens for span in self.spans)

    def renumbered(self, by: int) -> "Lengths":
        """The same lengths, with contents of other numbers."""
        if not by or not self.spans:
            return self
        return self._replace(spans=tuple(Span(content + by, tokens) for content, tokens in self.spans))

    @classmethod
    def from_json(cls, raw: list[Any]) -> "Lengths":
        return cls(raw[0], raw[1], tuple(Span(*span) for span in raw[2]))


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text file that prompts are cut from. Its hash makes sure that everyone reads the same text."""

    path: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.path).name


@dataclass(frozen=True, slots=True)
class Content:
    """What prompts are made of: the corpus's tokens, or random ones. `prefix_share` of all prompt tokens are a common
    beginning, as a system prompt is, besides what the lengths themselves say to be shared."""

    prefix_share: float = 0.0
    corpus: Corpus | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Content":
        corpus = raw["corpus"]
        return cls(raw["prefix_share"], None if corpus is None else Corpus(**corpus))


RANDOM = Content()


def contents(requests: Iterable[Lengths]) -> int:
    """A number above those of all contents."""
    return 1 + max((span.content for lengths in requests for span in lengths.spans), default=0)


def found_share(requests: Iterable[Lengths]) -> float:
    """Share of prompt tokens that an unlimited prefix cache, empty at first, finds when requests come one by one."""
    known: dict[int, int] = {}  # content -> tokens of it seen so far
    found = prompts = 0
    for lengths in requests:
        hit = 0
        for span in lengths.spans:
            seen = min(span.tokens, known.get(span.content, 0))
            hit += seen
            if seen < span.tokens:
                break
        for span in lengths.spans:
            known[span.content] = max(span.tokens, known.get(span.content, 0))
        found += min(hit, lengths.input - 1)
        prompts += lengths.input
    return found / prompts if prompts else 0.0
