"""How many replicas an autoscaler asks for: what the fluid formula says of the last minute's rate."""

import math
from collections import deque

from engine.calibrate.fleet.ask import Autoscaling

TICK_S = 15.0  # as Kubernetes' horizontal autoscaler looks
RATE_WINDOW_S = 60.0


class Autoscaler:
    """More as soon as the rate asks for it. Fewer only when fewer were enough for the whole hold, and then as many as
    were needed at most during it. Never none while anybody is there."""

    def __init__(self, limits: Autoscaling, requests_per_s: float) -> None:
        self.limits = limits
        self.requests_per_s = requests_per_s  # that one replica is bought for
        self._arrivals: deque[int] = deque(maxlen=round(RATE_WINDOW_S / TICK_S))
        self._below_since: float | None = None
        self._needed = 0

    def wanted(self, at: float, arrivals: int, replicas: int, *, outstanding: bool) -> int:
        """Replicas to have from `at` on, given the arrivals since the last tick and the replicas there are."""
        self._arrivals.append(arrivals)
        rate = sum(self._arrivals) / (len(self._arrivals) * TICK_S)
        needed = max(math.ceil(rate / self.requests_per_s), int(outstanding), self.limits.min_replicas)
        needed = min(needed, self.limits.max_replicas)
        if needed >= replicas:
            self._below_since = None
            return needed
        if self._below_since is None:
            self._below_since, self._needed = at, needed
        self._needed = max(self._needed, needed)
        if at - self._below_since < self.limits.scale_down_hold_s:
            return replicas
        self._below_since = None
        return self._needed
