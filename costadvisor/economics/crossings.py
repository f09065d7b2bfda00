"""Where a cost of any shape is under a line, by probing: every change of answer between two probes is closed in on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.demand import Floats

SECTIONS = 16
ROUNDS = 9

Holds = Callable[[Floats], NDArray[np.bool_]]


def holding_stretches(holds: Holds, probes: Floats) -> tuple[Floats, Floats]:
    """Lower and upper ends (n,) of the stretches in which `holds`, between the first probe and the last, in order.

    What changes back and forth between two probes is not seen.
    """
    held = holds(probes)
    places = np.nonzero(held[1:] != held[:-1])[0]
    lows, highs = changes(holds, probes[places], probes[places + 1])
    rising = held[places + 1]
    starts, ends = highs[rising], lows[~rising]
    if held[0]:
        starts = np.concatenate([probes[:1], starts])
    if held[-1]:
        ends = np.concatenate([ends, probes[-1:]])
    return starts, ends


def changes(holds: Holds, lows: Floats, highs: Floats) -> tuple[Floats, Floats]:
    """Each bracket (n,) narrowed to where the answer changes, each cut into sections until ten digits stand."""
    for _ in range(ROUNDS if lows.size else 0):
        cuts = np.linspace(lows, highs, SECTIONS + 1)
        held = holds(cuts.ravel()).reshape(cuts.shape)
        first = np.argmax(held[1:] != held[:-1], axis=0)
        lows, highs = (np.take_along_axis(cuts, (first + step)[None, :], axis=0)[0] for step in (0, 1))
    return lows, highs
