"""Replicas that can't be handed back: taken on when needed, kept for a term of months, taken on again when it ends."""

import numpy as np

from costadvisor.economics.demand import Floats


def taken_on(needed: Floats, term: int) -> Floats:
    """(draws, months) replicas taken on in each month so that those within their term are at least `needed`."""
    taken = np.zeros(needed.shape)
    standing = np.zeros(needed.shape[0])
    for month in range(needed.shape[1]):
        if month >= term:
            standing -= taken[:, month - term]
        np.maximum(needed[:, month] - standing, 0.0, out=taken[:, month])
        standing += taken[:, month]
    return taken


def within_term(taken: Floats, term: int) -> Floats:
    """(draws, months + term - 1) the sum of what was taken on in a month and the term - 1 months before it."""
    padded = np.concatenate([taken, np.zeros((taken.shape[0], term - 1))], axis=1)
    running = np.cumsum(padded, axis=1)
    running[:, term:] -= running[:, :-term].copy()
    return running
