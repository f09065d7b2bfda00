"""Which replica a request goes to."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from engine.calibrate.fleet.ask import RouterName
from engine.calibrate.fleet.replica import Replica


class Router(Protocol):
    def pick(self, ready: Sequence[Replica], at: float) -> Replica:
        """One of at least one."""


class Random:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])

    def pick(self, ready: Sequence[Replica], at: float) -> Replica:
        return ready[int(self._rng.random() * len(ready))]


class RoundRobin:
    def __init__(self, seed: int) -> None:
        self._turn = -1

    def pick(self, ready: Sequence[Replica], at: float) -> Replica:
        self._turn += 1
        return ready[self._turn % len(ready)]


class LeastOutstanding:
    """The fewest requests sent and not finished, waiting ones included; the longest-serving replica of equals."""

    def __init__(self, seed: int) -> None:
        pass

    def pick(self, ready: Sequence[Replica], at: float) -> Replica:
        return min(ready, key=lambda replica: replica.outstanding(at))


ROUTERS: dict[RouterName, type[Random] | type[RoundRobin] | type[LeastOutstanding]] = {
    "random": Random,
    "round_robin": RoundRobin,
    "least_outstanding": LeastOutstanding,
}
