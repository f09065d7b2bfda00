"""Replicas by hour of the week: what a demand needs, under a policy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats, batch_moved, requests_per_s, week_weights
from costadvisor.economics.errors import CaseError
from costadvisor.economics.options import SelfHostOption

# So that a demand which a fleet serves exactly, but for the last bits of a float, needs no further replica.
TOLERANCE = 1e-9
# A fleet beyond this is a slip of units.
MOST_REPLICAS = 10_000_000


def replicas_for(load: Floats, minimum: int, out: Floats | None = None) -> Floats:
    """`max(minimum, ceil(x - 1e-9 max(1, x)))` of a load x in replicas, minimum at least 1; spares not included."""
    replicas = np.multiply(load, 1 - TOLERANCE, out=out)
    np.ceil(replicas, out=replicas)
    return np.maximum(replicas, minimum, out=replicas)


@dataclass(frozen=True)
class Week:
    """A week of month 1 as planned: demand and replicas (spares included) by hour, (168,)."""

    requests_per_s: Floats
    replicas: NDArray[np.int64]
    capacity_requests_per_s: float

    @property
    def steps_up(self) -> int:
        """Replicas started in the cyclic week."""
        return int(np.maximum(np.diff(self.replicas, prepend=self.replicas[-1]), 0).sum())

    @property
    def utilization(self) -> float:
        """Requests served over what the paid replicas could serve at the SLO."""
        return float(self.requests_per_s.sum() / (self.replicas.sum() * self.capacity_requests_per_s))


def served_weights(case: Case) -> Floats:
    """(168,) The case's week as own GPUs see it: batchable requests moved to the day's emptiest hours."""
    share = np.array([float(case.workload.batchable_share)])
    moved: Floats = batch_moved(week_weights(case.workload.hourly_shape)[None, :], share)[0]
    return moved


def planned_week(case: Case, option: SelfHostOption, *, volume: float = 1.0) -> Week | None:
    """The fleet of a month with `volume` times the case's requests. None where no rate meets the SLO.

    Raises CaseError for a fleet of more than ten million replicas.
    """
    capacity = float(planning_requests_per_s(case, option))
    if capacity <= 0:
        return None
    scaling = option.scaling
    rates = requests_per_s(case.workload.requests_per_month, case) * volume * served_weights(case)
    needed = replicas_for(rates * (1 + float(scaling.headroom)) / capacity, scaling.min_replicas)
    if needed.max() > MOST_REPLICAS:
        problem = f"would take {float(needed.max()):.3g} replicas"
        raise CaseError(f"/options/{option.id}/capacity", problem, "give the requests a second of one replica")
    if scaling.policy == "fixed":
        needed[:] = needed.max()
    return Week(rates, needed.astype(np.int64) + scaling.spare_replicas, capacity)
