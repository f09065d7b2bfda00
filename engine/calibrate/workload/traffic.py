"""Which requests come, and when: pairs of lengths, drawn together because they are correlated, and their arrivals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from engine.calibrate.workload.distribution import Distribution
from engine.calibrate.workload.lengths import RANDOM, Content, Lengths, contents

LEAST_VARIATION = 1e-6  # of gaps that are all alike; none at all would be infinitely even

Kind = Literal["fixed", "mix", "distribution", "trace"]


@dataclass(frozen=True, slots=True)
class Workload:
    """Pairs of lengths with weights (all alike in a trace), and how arrivals clump (1 is Poisson, less is burstier).

    `gaps` are the seconds before each request of a trace whose own arrivals are wanted; `burstiness` is then what they
    amount to. With them, or when hash ids say what prompts share (`by_hash_ids`), requests keep the trace's order:
    elsewhere each is drawn by itself. `prefix_hit_share` is what a prefix cache is to find of all prompt tokens.
    """

    kind: Kind
    lengths: tuple[Lengths, ...]
    weights: tuple[float, ...]
    burstiness: float = 1.0
    trace: str | None = None
    trace_sha256: str | None = None
    preset: str | None = None
    distributions: tuple[Distribution, Distribution] | None = None  # of input and output tokens
    gaps: tuple[float, ...] | None = None
    by_hash_ids: bool = False
    prefix_hit_share: float = 0.0
    content: Content = RANDOM

    def sample(self, count: int, rng: Generator) -> tuple[Lengths, ...]:
        """`count` requests. Where a trace's order is kept, it begins anew at its end, with hash ids of its own."""
        return self._requests(self._chosen(count, rng))

    def traffic(self, count: int, rng: Generator) -> tuple[tuple[Lengths, ...], NDArray[np.float64]]:
        """A sample, and `count` arrivals `[count]` in seconds, of which the last is at `count`: one a second."""
        chosen = self._chosen(count, rng)
        if self.gaps is None:
            gaps = rng.gamma(self.burstiness, 1 / self.burstiness, count)
        else:
            gaps = np.asarray(self.gaps)[chosen % len(self.gaps)]
        arrivals = gaps.cumsum()
        return self._requests(chosen), arrivals * (count / arrivals[-1])

    @property
    def mean(self) -> tuple[float, float]:
        """Mean input and output tokens a request."""
        total = sum(self.weights)
        pairs = list(zip(self.lengths, self.weights, strict=True))
        return sum(p.input * w for p, w in pairs) / total, sum(p.output * w for p, w in pairs) / total

    @property
    def longest(self) -> Lengths:
        """The request that needs the most room."""
        return max(self.lengths, key=lambda lengths: lengths.total)

    def beyond(self, tokens: int) -> int:
        """How many of the pairs are longer than `tokens` in all."""
        return sum(pair.total > tokens for pair in self.lengths)

    @property
    def _in_order(self) -> bool:
        return self.gaps is not None or self.by_hash_ids

    def _chosen(self, count: int, rng: Generator) -> NDArray[np.int64]:
        """Numbers of requests `[count]`: drawn by weight, or a stretch of the trace that may go on past its end.

        A stretch begins where time has passed: arrivals that are all at once have no rate.
        """
        if not self._in_order:
            total = sum(self.weights)
            return rng.choice(len(self.lengths), size=count, p=[weight / total for weight in self.weights])
        starts = len(self.lengths) if self.gaps is None else np.flatnonzero(self.gaps)
        return rng.choice(starts) + np.arange(count)

    def _requests(self, chosen: NDArray[np.int64]) -> tuple[Lengths, ...]:
        ids = contents(self.lengths) if self.by_hash_ids else 0
        rounds = [divmod(number, len(self.lengths)) for number in chosen.tolist()]
        return tuple(self.lengths[place].renumbered(ids * again) for again, place in rounds)


def burstiness_of(gaps: Sequence[float]) -> float:
    """The gamma shape whose gaps vary as much as these: 1 over the squared variation."""
    between = np.asarray(gaps[1:])
    return float(1 / max(LEAST_VARIATION, between.var() / between.mean() ** 2))
