"""The cost of a fleet as traffic grows is a staircase; an API's is a line. Where one is under the other, exactly.

`cost(v) = fixed + sum_g usd_g max(minimum, ceil(v load_g)) + sum_g start_usd_g (steps up into hour g)`, with v in
requests of month 1. A group g is an hour of the week (and, over the horizon, of a month) that occurs several times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.demand import Floats
from costadvisor.economics.fleet import TOLERANCE, replicas_for

MOST_STEPS = 1_000_000
GAP_MERGED = 0.01
ROUNDING = 1e-12


@dataclass(frozen=True)
class Staircase:
    """Arrays are (groups,): replicas a request needs, USD of a replica, and the same of the hour before."""

    fixed_usd: float
    loads: Floats
    usd: Floats
    loads_before: Floats
    start_usd: Floats
    minimum: int

    def cost(self, volume: float) -> float:
        """USD at this volume, by direct evaluation."""
        now = replicas_for(volume * self.loads, self.minimum)
        before = replicas_for(volume * self.loads_before, self.minimum)
        return self.fixed_usd + float(self.usd @ now + self.start_usd @ np.maximum(now - before, 0.0))

    @property
    def usd_per_request(self) -> float:
        """The slope of a fleet without spare room: what a full replica costs for each request it can serve."""
        rising = np.maximum(self.loads - self.loads_before, 0.0)
        return float(self.usd @ self.loads + self.start_usd @ rising)

    @property
    def least_usd(self) -> float:
        """No volume costs less."""
        return self.fixed_usd + float(self.usd.sum()) * self.minimum

    @property
    def rounding_usd(self) -> float:
        """`cost(v) <= usd_per_request v + rounding_usd` for every v."""
        return self.least_usd + float(self.start_usd.sum())


@dataclass(frozen=True)
class Cheaper:
    """Half-open stretches (from, to] of volume, and how far was looked (None: to the end of the range)."""

    stretches: tuple[tuple[float, float], ...]
    examined_to: float | None


def cheaper_stretches(fleet: Staircase, api_usd_per_request: float, lowest: float, highest: float) -> Cheaper:
    """Where the fleet costs less than the API between two volumes, solved on every step; gaps under 1 % merged."""
    start = max(lowest, fleet.least_usd / api_usd_per_request)
    if start >= highest:
        return Cheaper((), None)
    saving = api_usd_per_request - fleet.usd_per_request
    always = max(start, fleet.rounding_usd / saving) if saving > 0 else np.inf
    last = _affordable(fleet, start, min(highest, always))
    examined_to = last if last < min(highest, always) else None
    edges, costs = _steps(fleet, start, last)
    begins = np.maximum(edges[:-1], costs / api_usd_per_request)
    inside = begins < edges[1:]
    froms, tos = begins[inside], edges[1:][inside]
    if examined_to is None and last < highest:
        froms, tos = np.append(froms, last), np.append(tos, highest)
    return Cheaper(merged(froms, tos), examined_to)


def _affordable(fleet: Staircase, start: float, end: float) -> float:
    """As far as a million steps reach."""
    steps_per_request = float(fleet.loads.sum() + fleet.loads_before[fleet.start_usd > 0].sum())
    return min(end, start + MOST_STEPS / steps_per_request)


def _steps(fleet: Staircase, start: float, end: float) -> tuple[Floats, Floats]:
    """Edges (n + 1,) of the steps between two volumes, and the cost (n,) on each (edge, next edge]."""
    rising = (fleet.loads > fleet.loads_before) & (fleet.start_usd > 0)
    # A replica more in an hour; if it is the first of a rising pair it has to start, until the hour before has it too.
    own = np.where(rising, fleet.start_usd, 0.0)
    taken = [
        _jumps(load, usd, fleet.minimum, start, end) for load, usd in zip(fleet.loads, fleet.usd + own, strict=True)
    ]
    taken += [
        _jumps(load, -usd, fleet.minimum, start, end)
        for load, usd in zip(fleet.loads_before[rising], fleet.start_usd[rising], strict=True)
    ]
    volumes = np.concatenate([jump[0] for jump in taken])
    changes = np.concatenate([jump[1] for jump in taken])
    order = np.argsort(volumes, kind="stable")
    edges = np.concatenate([[start], volumes[order], [end]])
    # Priced in its middle: a step's cost holds up to and including its upper edge, and not at its lower one.
    first = fleet.cost(float(edges[0] + edges[1]) / 2)
    return edges, first + np.concatenate([[0.0], np.cumsum(changes[order])])


def _jumps(load: float, usd: float, minimum: int, start: float, end: float) -> tuple[Floats, Floats]:
    """Volumes strictly inside (start, end) above which one replica more is needed, each with what that changes."""
    per_request = load * (1 - TOLERANCE)
    first = max(minimum, int(np.floor(start * per_request)) + 1)
    counts: NDArray[np.int64] = np.arange(first, int(np.ceil(end * per_request)))
    volumes = counts / per_request
    inside = (volumes > start * (1 + ROUNDING)) & (volumes < end)
    return volumes[inside], np.full(int(inside.sum()), usd)


def merged(froms: Floats, tos: Floats) -> tuple[tuple[float, float], ...]:
    """Stretches as they are shown: those with a gap under 1 % between them are one."""
    if not froms.size:
        return ()
    apart = (froms[1:] - tos[:-1]) >= GAP_MERGED * tos[:-1]
    begins, ends = froms[np.append(True, apart)], tos[np.append(apart, True)]
    return tuple(zip(begins.tolist(), ends.tolist(), strict=True))
