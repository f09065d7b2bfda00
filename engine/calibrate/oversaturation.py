"""Ends an open-loop level that can only get worse.

Tokens asked for by what has arrived, and tokens given, are two rising curves. Their vertical distance is what is in
flight; their horizontal distance is how long ago the work now done was asked for, which grows as the time to first
token does. Under a rate that can be sustained both wander about a level; beyond it both grow without end.
"""

import itertools
import statistics
from bisect import bisect_right
from collections.abc import Sequence

from engine.calibrate.level import LevelSpec

BLOCKS = 5  # means over so many equal parts of a level must all rise
LEAST_SEEN = 25  # reports, about one a second
LEAST_SHARE = 0.5  # of warm-in and window, before anything is concluded
LEAST_GROWTH = 1.5  # from the third last part to the last


class Oversaturation:
    """Watches one level through its progress reports; a closed loop never trips it."""

    def __init__(self, spec: LevelSpec) -> None:
        self.tripped = False
        self._arrivals = spec.arrivals or ()
        outputs = (spec.lengths[place % len(spec.lengths)].output for place in range(len(self._arrivals)))
        self._asked = list(itertools.accumulate(outputs))
        self._from_s = LEAST_SHARE * (spec.warm_in_s + spec.window_s)
        self._in_flight: list[float] = []
        self._behind_s: list[float] = []

    def see(self, seconds: float, tokens: int) -> None:
        """Take in how many tokens there were after so many seconds of the level."""
        if not self._arrivals or self.tripped:
            return
        arrived = bisect_right(self._arrivals, seconds)
        served = bisect_right(self._asked, tokens)
        if served >= len(self._arrivals):
            return
        self._in_flight.append(self._asked[arrived - 1] - tokens if arrived else 0.0)
        self._behind_s.append(max(0.0, seconds - self._arrivals[served]))
        if seconds >= self._from_s and len(self._in_flight) >= LEAST_SEEN:
            self.tripped = _keeps_rising(self._in_flight) and _keeps_rising(self._behind_s)


def _keeps_rising(values: Sequence[float]) -> bool:
    """Whether every part lies above the one before, and the last by far: a slope, not a wave."""
    size = len(values) // BLOCKS
    means = [statistics.fmean(values[part * size : (part + 1) * size]) for part in range(BLOCKS)]
    rises = all(later > earlier for earlier, later in itertools.pairwise(means))
    return rises and means[-1] > LEAST_GROWTH * means[-3]
