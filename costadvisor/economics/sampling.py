"""Monte Carlo draws: one random stream per name, so that adding an option moves no other option's draws."""

import hashlib

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats
from costadvisor.economics.inputs import Input
from costadvisor.economics.values import Sample


def draw(case: Case, inputs: tuple[Input, ...]) -> Sample:
    """`case.draws` sets of every uncertain input."""
    quantiles = {stream: uniform(case.seed, stream, case.draws) for stream in {known.stream for known in inputs}}
    return Sample(case, case.draws, {known.pointer: known.at(quantiles[known.stream]) for known in inputs})


def uniform(seed: int, stream: str, draws: int) -> Floats:
    """(draws,) in the open interval (0, 1). From raw bits, whose sequence NumPy promises to keep."""
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:16])
    bits = np.random.PCG64(np.random.SeedSequence([seed, name])).random_raw(draws)
    return ((np.asarray(bits, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
