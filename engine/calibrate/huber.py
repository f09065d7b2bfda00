"""Least squares in which outliers count little (Huber 1964, by reweighting)."""

import numpy as np
from numpy.typing import NDArray

HUBER = 0.05  # relative errors beyond this count linearly, not squared
ROUNDS = 15

Vector = NDArray[np.float64]


def huber(relative: Vector) -> tuple[Vector, Vector]:
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
