"""How long a step takes, fitted on the iteration log of whole levels.

    ms = a + b·decode + c·prefill + d·context + e·prefill·context

`decode` counts sequences that decode, `prefill` prompt tokens, `context` KV tokens that decodes read, and
`prefill·context` the query-key pairs that prompt tokens compute. There is an `a` for each kind of step: decodes alone,
prompt tokens alone, or both, which adds a second attention to each layer.

`b` and `d` may change with the bucket of the batch (up to 4 sequences, 16, 64, more): kernels share work among cores,
fill their tiles and leave the caches at some batch or other, which nobody knows beforehand. What sequences cost is then
a line with bends, `b·4 + b_4·(decode - 4)` for a few more than 4, and so is what a mean sequence's context costs. The
buckets join: nothing jumps, and more of anything never takes less time. A line has bends only where levels that were
left out are predicted better with them. A level that judges a model had no part in that choice either.

Errors are relative, outliers (a neighbour's burst, a page fault) count little, and no slope is negative. So the fit is
of a typical step, and is judged on typical steps. A request waits for the mean step, which the tail to the slow side
makes longer: what comes out of the fit is stretched, decodes and prompts apart, until it adds up to the time that went
by. Steps over twice a typical one are not the work's, and stay out of that.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from engine.calibrate.huber import Vector, huber

TERMS = ("a_decode", "a_prefill", "mixed", "b", "c", "d", "e")
KINDS = 2  # of steps, which come first; what follows adds time and is never negative
KNOTS = (4, 16, 64)  # decode sequences where a bucket of the batch ends
BEYOND_KNOT = 1.5  # times a knot: how far batches must reach for a bucket of their own
WORTH_BENDING = 0.005  # of error on levels that were left out
BURST = 2.0  # times a typical step: not the work's own time
CHOOSING_STEPS = 300  # of a level, evenly taken, which are enough to choose by
FEWEST_LEVELS = 3  # one held out, two to draw a line through
MOST_MDAPE = 0.08  # on held-out levels; beyond it nothing is predicted
MOST_TWIN_MDAPE = 0.20  # a twin need not be right, only have its run's luck


class StepWork(Protocol):
    """What the fit reads of a logged step."""

    @property
    def ms(self) -> float: ...
    @property
    def decode_sequences(self) -> int: ...
    @property
    def prefill_tokens(self) -> int: ...
    @property
    def decode_context(self) -> int: ...
    @property
    def prefill_pairs(self) -> int: ...


class Bend(NamedTuple):
    """In a batch beyond `knot`, what each further sequence costs, and each of its context tokens, in milliseconds."""

    knot: int
    b: float
    d: float


@dataclass(frozen=True, slots=True)
class StepModel:
    """Coefficients in milliseconds: per step of decodes, with prompt tokens, and with both beyond that; then per
    sequence, prompt token, context token and query-key pair. `bends`, by ascending knots, change `b` and `d`."""

    a_decode: float
    a_prefill: float
    mixed: float
    b: float
    c: float
    d: float
    e: float
    bends: tuple[Bend, ...] = ()

    @classmethod
    def read(cls, coefficients: Mapping[str, float]) -> "StepModel":
        """Of a record; those of the first form have neither `mixed` nor bends."""
        straight = {term: coefficients.get(term, 0.0) for term in TERMS}
        knots = [int(term[2:]) for term in coefficients if term.startswith("b_")]
        return cls(**straight, bends=tuple(Bend(at, coefficients[f"b_{at}"], coefficients[f"d_{at}"]) for at in knots))

    @property
    def coefficients(self) -> dict[str, float]:
        """By name, as a record has them, in the order of a fit's covariance."""
        bent = {f"{slope}_{bend.knot}": getattr(bend, slope) for bend in self.bends for slope in ("b", "d")}
        return {term: getattr(self, term) for term in TERMS} | bent

    def ms(self, decode: int, prefill: int, context: int, pairs: int) -> float:
        start = self.a_decode if not prefill else self.a_prefill + self.mixed if decode else self.a_prefill
        straight = start + self.b * decode + self.c * prefill + self.d * context + self.e * pairs
        return straight + self._bent(decode, context) if self.bends and decode > self.bends[0].knot else straight

    def _bent(self, decode: int, context: int) -> float:
        """What the bends add to, or take off, the line that goes straight on."""
        b, d = self.b, self.d
        sequences = contexts = 0.0
        for bend in self.bends:
            beyond = max(0, decode - bend.knot)
            sequences += (bend.b - b) * beyond
            contexts += (bend.d - d) * beyond
            b, d = bend.b, bend.d
        return sequences + contexts * context / decode

    def of(self, row: StepWork) -> float:
        return self.ms(row.decode_sequences, row.prefill_tokens, row.decode_context, row.prefill_pairs)

    def stretched(self, decodes: float, prompts: float) -> "StepModel":
        """What decodes cost and what prompts add to it, each times a factor."""
        bends = tuple(Bend(bend.knot, decodes * bend.b, decodes * bend.d) for bend in self.bends)
        of_decodes = {term: decodes * getattr(self, term) for term in ("a_decode", "b", "d")}
        of_prompts = {term: prompts * getattr(self, term) for term in ("a_prefill", "mixed", "c", "e")}
        return StepModel(**of_decodes, **of_prompts, bends=bends)


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors of a model on some steps, above 0 where it is too slow."""

    relative: tuple[float, ...]

    @classmethod
    def of(cls, model: StepModel, rows: Iterable[StepWork]) -> "Errors":
        return cls(tuple(model.of(row) / row.ms - 1 for row in rows))

    @property
    def mape(self) -> float | None:
        """Mean absolute percentage error; a few seconds in which the machine was slow can make most of it."""
        return statistics.fmean(map(abs, self.relative)) if self.relative else None

    @property
    def mdape(self) -> float | None:
        """Median absolute percentage error: of a typical step, and never less than the model's median bias."""
        return statistics.median(map(abs, self.relative)) if self.relative else None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A model fitted on the other levels, and how far off it was on one level's typical steps, by kind of step: without
    prompt tokens, with."""

    level: str
    model: StepModel
    decode: Errors
    prefill: Errors


@dataclass(frozen=True, slots=True)
class Fit:
    """A model of all levels with its coefficients' covariance (in their order), and every level held out once.

    `fitted_mdape` is the typical error on the very steps it was fitted to. `unsteadiness` is how much longer steps took
    in all than it says, with bursts and those of a slower machine, which it leaves out.
    """

    model: StepModel
    covariance: tuple[tuple[float, ...], ...]
    steps: int
    fitted_mdape: float
    unsteadiness: float
    held_out: tuple[HeldOut, ...]

    @property
    def mape(self) -> float | None:
        """Of the worse kind of step, each averaged over the held-out levels; None when none could be."""
        return _worse([(level.decode.mape, level.prefill.mape) for level in self.held_out])

    @property
    def mdape(self) -> float | None:
        """Likewise. The one that judges the model."""
        return _worse([(level.decode.mdape, level.prefill.mdape) for level in self.held_out])

    @property
    def holds(self) -> bool:
        """Whether anything may be predicted from it."""
        return self.mdape is not None and self.mdape <= MOST_MDAPE

    @property
    def twins(self) -> bool:
        """Whether it is near enough to tell the luck of a run from what the machine does."""
        return self.mdape is not None and self.mdape <= MOST_TWIN_MDAPE


def _worse(levels: Sequence[tuple[float | None, float | None]]) -> float | None:
    kinds = ([error for error in kind if error is not None] for kind in zip(*levels, strict=True))
    return max((statistics.fmean(kind) for kind in kinds if kind), default=None)


def fit_levels(levels: Mapping[str, Sequence[StepWork]], slow: Sequence[StepWork] = ()) -> Fit:
    """Fit all levels together, then again without each one in turn, to be judged on it.

    Levels are named; those without steps are left out. Fewer than FEWEST_LEVELS can't be held out. `slow` are steps of
    a machine that was slower than it mostly is: nothing is fitted to them, and all of them count as unsteadiness.
    """
    used = {name: rows for name, rows in levels.items() if rows}
    everything = _steps(used.values())
    typical, covariance = _fit(everything, _knots(used))
    model = _mean_preserving(typical, everything)
    held_out = []
    for name in used if len(used) >= FEWEST_LEVELS else ():
        others = _without(used, name)
        without, _ = _fit(_steps(others.values()), _knots(others))
        judged = _judged(name, without, used[name])
        held_out.append(replace(judged, model=_mean_preserving(without, _steps(others.values()))))
    taken = [*everything, *slow]
    return Fit(
        model=model,
        covariance=tuple(map(tuple, covariance.tolist())),
        steps=len(everything),
        fitted_mdape=Errors.of(typical, everything).mdape or 0.0,
        unsteadiness=max(0.0, sum(row.ms for row in taken) / sum(map(model.of, taken)) - 1),
        held_out=tuple(held_out),
    )


def _mean_preserving(model: StepModel, rows: Sequence[StepWork]) -> StepModel:
    """Stretched so that steps without prompt tokens take as long in all as `rows` did, and steps with them too."""
    own = [row for row in rows if row.ms <= BURST * model.of(row)]
    decodes, prompts = ([row for row in own if (row.prefill_tokens > 0) is kind] for kind in (False, True))
    decode = _ratio(sum(row.ms for row in decodes), sum(map(model.of, decodes)))
    stretched = model.stretched(decode, 0.0)
    left = sum(row.ms for row in prompts) - sum(map(stretched.of, prompts))
    added = sum(map(model.stretched(0.0, 1.0).of, prompts))
    return model.stretched(decode, _ratio(left, added))


def _ratio(took: float, predicted: float) -> float:
    """1 where there is nothing to go by."""
    return took / predicted if took > 0 and predicted > 0 else 1.0


def _steps(levels: Iterable[Sequence[StepWork]]) -> list[StepWork]:
    return [row for rows in levels for row in rows]


def _without(levels: Mapping[str, Sequence[StepWork]], name: str) -> dict[str, Sequence[StepWork]]:
    return {other: rows for other, rows in levels.items() if other != name}


def _knots(levels: Mapping[str, Sequence[StepWork]]) -> tuple[int, ...]:
    """Where the line bends: nowhere, unless levels that are left out are predicted clearly better with bends."""
    most = max(row.decode_sequences for row in _steps(levels.values()))
    knots = tuple(knot for knot in KNOTS if most >= BEYOND_KNOT * knot)
    if not knots or len(levels) < FEWEST_LEVELS:
        return ()
    few = {name: rows[:: -(-len(rows) // CHOOSING_STEPS)] for name, rows in levels.items()}
    return knots if _left_out_mdape(few, ()) - _left_out_mdape(few, knots) > WORTH_BENDING else ()


def _left_out_mdape(levels: Mapping[str, Sequence[StepWork]], knots: Sequence[int]) -> float:
    models = {name: _fit(_steps(_without(levels, name).values()), knots)[0] for name in levels}
    judged = [_judged(name, models[name], rows) for name, rows in levels.items()]
    return _worse([(level.decode.mdape, level.prefill.mdape) for level in judged]) or 0.0


def _judged(level: str, model: StepModel, rows: Sequence[StepWork]) -> HeldOut:
    decodes, prefills = ([row for row in rows if (row.prefill_tokens > 0) is kind] for kind in (False, True))
    return HeldOut(level, model, Errors.of(model, decodes), Errors.of(model, prefills))


def _fit(rows: Sequence[StepWork], knots: Sequence[int]) -> tuple[StepModel, Vector]:
    """Least squares of relative errors, reweighted until outliers have settled; slopes below zero are dropped."""
    terms = _terms(rows, knots)
    ms = np.array([row.ms for row in rows])
    kept = [column for column in range(terms.shape[1]) if terms[:, column].any()]
    while True:
        values, covariance = huber(terms[:, kept] / ms[:, None])
        negative = [column for column, value in zip(kept, values, strict=True) if value < 0 and column >= KINDS]
        if not negative:
            break
        kept.remove(min(negative, key=lambda column: values[kept.index(column)]))
    coefficients = np.zeros(terms.shape[1])
    coefficients[kept] = values
    whole = np.zeros((len(coefficients), len(coefficients)))
    whole[np.ix_(kept, kept)] = covariance
    straight, bent = coefficients[: len(TERMS)].tolist(), coefficients[len(TERMS) :].reshape(-1, 2).tolist()
    bends = tuple(Bend(knot, b, d) for knot, (b, d) in zip(knots, bent, strict=True))
    return StepModel(**dict(zip(TERMS, straight, strict=True)), bends=bends), whole


def _terms(rows: Sequence[StepWork], knots: Sequence[int]) -> Vector:
    """`[steps, terms]`, in the order of StepModel's coefficients."""
    decode, prefill, context, pairs = np.array(
        [(row.decode_sequences, row.prefill_tokens, row.decode_context, row.prefill_pairs) for row in rows], dtype=float
    ).T
    mean_context = context / np.maximum(decode, 1)
    # Of each bucket, how many of the step's sequences are in it.
    buckets = [np.clip(decode, low, high) - low for low, high in itertools.pairwise([0, *knots, math.inf])]
    kinds = [prefill == 0, prefill > 0, (prefill > 0) & (decode > 0)]
    straight = [*kinds, buckets[0], prefill, buckets[0] * mean_context, pairs]
    bent = [column for bucket in buckets[1:] for column in (bucket, bucket * mean_context)]
    return np.array([*straight, *bent], dtype=float).T


def totals(rows: Iterable[StepWork], model: StepModel) -> list[float]:
    """Of all these steps, how much there is of what each coefficient counts; in their order."""
    summed: list[float] = _terms(list(rows), [bend.knot for bend in model.bends]).sum(axis=0).tolist()
    return summed
