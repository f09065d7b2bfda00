"""How long a step takes, fitted on the iteration log of whole levels.

    ms = a_bucket + b·decode + c·prefill + d·context + e·prefill·context

`decode` counts sequences that decode, `prefill` prompt tokens, `context` KV tokens that decodes read, and
`prefill·context` the query-key pairs that prompt tokens compute. The bucket is the kind of step: decodes alone, prompt
tokens alone, or both, which adds a second attention to each layer. Errors are relative, outliers (a neighbour's burst,
a page fault) count little, and no slope is negative.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TERMS = ("a_decode", "a_prefill", "mixed", "b", "c", "d", "e")
SLOPES = slice(2, None)
FEWEST_LEVELS = 3  # one held out, two to draw a line through
HUBER = 0.05  # relative errors beyond this count linearly, not squared
ROUNDS = 15
MOST_MDAPE = 0.08  # on held-out levels; beyond it nothing is predicted

Vector = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class StepModel:
    """Coefficients in milliseconds: per step of decodes, with prompt tokens, and with both beyond that; then per
    sequence, prompt token, context token and query-key pair."""

    a_decode: float
    a_prefill: float
    mixed: float
    b: float
    c: float
    d: float
    e: float

    def ms(self, decode: int, prefill: int, context: int, pairs: int) -> float:
        start = self.a_decode if not prefill else self.a_prefill + self.mixed if decode else self.a_prefill
        return start + self.b * decode + self.c * prefill + self.d * context + self.e * pairs

    def of(self, row: StepWork) -> float:
        return self.ms(row.decode_sequences, row.prefill_tokens, row.decode_context, row.prefill_pairs)


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
    """How far off a model fitted on the other levels was on one level, by kind of step: without prompt tokens, with."""

    level: str
    model: StepModel
    decode: Errors
    prefill: Errors


@dataclass(frozen=True, slots=True)
class Fit:
    """A model of all levels with its coefficients' covariance (order of TERMS), and every level held out once.

    `fitted_mdape` is its error on the very steps it was fitted to. `unsteadiness` is how much longer those took in all
    than it says: the model is of the machine as it mostly runs, and slow stretches, which it hardly follows, come on
    top.
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


def _worse(levels: Sequence[tuple[float | None, float | None]]) -> float | None:
    kinds = ([error for error in kind if error is not None] for kind in zip(*levels, strict=True))
    return max((statistics.fmean(kind) for kind in kinds if kind), default=None)


def fit_levels(levels: Mapping[str, Sequence[StepWork]]) -> Fit:
    """Fit all levels together, then again without each one in turn, to be judged on it.

    Levels are named; those without steps are left out. Fewer than FEWEST_LEVELS can't be held out.
    """
    used = {name: rows for name, rows in levels.items() if rows}
    everything = [row for rows in used.values() for row in rows]
    model, covariance = _fit(everything)
    held_out = []
    for name in used if len(used) >= FEWEST_LEVELS else ():
        without, _ = _fit([row for other, rows in used.items() if other != name for row in rows])
        held_out.append(_judged(name, without, used[name]))
    return Fit(
        model=model,
        covariance=tuple(map(tuple, covariance.tolist())),
        steps=len(everything),
        fitted_mdape=Errors.of(model, everything).mdape or 0.0,
        unsteadiness=max(0.0, sum(row.ms for row in everything) / sum(map(model.of, everything)) - 1),
        held_out=tuple(held_out),
    )


def _judged(level: str, model: StepModel, rows: Sequence[StepWork]) -> HeldOut:
    decodes, prefills = ([row for row in rows if (row.prefill_tokens > 0) is kind] for kind in (False, True))
    return HeldOut(level, model, Errors.of(model, decodes), Errors.of(model, prefills))


def _fit(rows: Sequence[StepWork]) -> tuple[StepModel, Vector]:
    """Least squares of relative errors, reweighted until outliers have settled; slopes below zero are dropped."""
    terms = np.array([_terms(row) for row in rows], dtype=float)
    ms = np.array([row.ms for row in rows])
    kept = [column for column in range(len(TERMS)) if terms[:, column].any()]
    while True:
        values, covariance = _huber(terms[:, kept] / ms[:, None])
        negative = [column for column, value in zip(kept, values, strict=True) if value < 0 and column >= SLOPES.start]
        if not negative:
            break
        kept.remove(min(negative, key=lambda column: values[kept.index(column)]))
    coefficients = np.zeros(len(TERMS))
    coefficients[kept] = values
    whole = np.zeros((len(TERMS), len(TERMS)))
    whole[np.ix_(kept, kept)] = covariance
    return StepModel(*coefficients.tolist()), whole


def _terms(row: StepWork) -> tuple[float, ...]:
    prefills = row.prefill_tokens > 0
    return (
        not prefills,
        prefills,
        prefills and row.decode_sequences > 0,
        row.decode_sequences,
        row.prefill_tokens,
        row.decode_context,
        row.prefill_pairs,
    )


def _huber(relative: Vector) -> tuple[Vector, Vector]:
    """Solve `relative @ x ≈ 1` with Huber weights; returns x and its covariance. Scaled columns keep it sound."""
    scale = np.abs(relative).max(axis=0)
    columns = relative / scale
    weights = np.ones(len(columns))
    for _ in range(ROUNDS):
        root = np.sqrt(weights)[:, None]
        solved = np.linalg.lstsq(columns * root, root[:, 0], rcond=None)[0]
        errors = np.abs(columns @ solved - 1)
        weights = HUBER / np.maximum(errors, HUBER)
    noise = float((weights * errors**2).sum() / max(1, len(columns) - len(scale)))
    inverse = np.linalg.pinv((columns * weights[:, None]).T @ columns)
    return solved / scale, noise * inverse / np.outer(scale, scale)
