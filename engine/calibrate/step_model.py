"""How long a step takes, fitted on the iteration log of whole levels.

    ms = a_bucket + b·decode + c·prefill + d·context + e·prefill·context

`decode` counts sequences that decode, `prefill` prompt tokens, `context` KV tokens that decodes read, and
`prefill·context` the query-key pairs that prompt tokens compute. The bucket is the kind of step: with or without
prompt tokens. Errors are relative, outliers (a neighbour's burst, a page fault) count little, and no slope is negative.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TERMS = ("a_decode", "a_prefill", "b", "c", "d", "e")
SLOPES = slice(2, None)
FEWEST_LEVELS = 3  # one held out, two to draw a line through
HUBER = 0.05  # relative errors beyond this count linearly, not squared
ROUNDS = 15

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
    """Coefficients in milliseconds: per step, sequence, prompt token, context token and query-key pair."""

    a_decode: float
    a_prefill: float
    b: float
    c: float
    d: float
    e: float

    def ms(self, decode: int, prefill: int, context: int, pairs: int) -> float:
        start = self.a_prefill if prefill else self.a_decode
        return start + self.b * decode + self.c * prefill + self.d * context + self.e * pairs

    def of(self, row: StepWork) -> float:
        return self.ms(row.decode_sequences, row.prefill_tokens, row.decode_context, row.prefill_pairs)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How far off a model fitted on the other levels was on one level, mean absolute percentage error by step kind."""

    level: str
    model: StepModel
    decode_mape: float | None
    prefill_mape: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A model of all levels with its coefficients' covariance (order of TERMS), and every level held out once.

    `fitted_mape` is its error on the very steps it was fitted to, for the worse kind: what no model of these terms
    would do much better than, the machine's own unsteadiness included.
    """

    model: StepModel
    covariance: tuple[tuple[float, ...], ...]
    steps: int
    fitted_mape: float
    held_out: tuple[HeldOut, ...]

    @property
    def mape(self) -> float | None:
        """The worse of the two kinds of step, each averaged over the held-out levels; None when none could be."""
        kinds = [[h.decode_mape for h in self.held_out], [h.prefill_mape for h in self.held_out]]
        means = [_mean([error for error in kind if error is not None]) for kind in kinds]
        return max((mean for mean in means if mean is not None), default=None)


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
        held_out.append(judge(name, without, used[name]))
    seen = judge("all", model, everything)
    return Fit(
        model=model,
        covariance=tuple(map(tuple, covariance.tolist())),
        steps=len(everything),
        fitted_mape=max(seen.decode_mape or 0.0, seen.prefill_mape or 0.0),
        held_out=tuple(held_out),
    )


def judge(level: str, model: StepModel, rows: Sequence[StepWork]) -> HeldOut:
    """A model's error on steps it has not seen."""
    errors: dict[bool, list[float]] = {False: [], True: []}
    for row in rows:
        errors[row.prefill_tokens > 0].append(abs(model.of(row) / row.ms - 1))
    return HeldOut(level, model, _mean(errors[False]), _mean(errors[True]))


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


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
