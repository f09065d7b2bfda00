"""How many replicas an autoscaler asks for: what the fluid formula says of the last minute's rate."""

import math
from collections import deque

from engine.calibrate.fleet.ask import Autoscaling

TICK_S = 15.0  # as Kubernetes' horizontal autoscaler looks
RATE_WINDOW_S = 60.0


class Autoscaler:
    """More as soon as the rate asks for it. Never fewer than were needed at any time of the hold that is over, nor none
    while anybody is there."""

    def __init__(self, limits: Autoscaling, requests_per_s: float, replicas: int) -> None:
        self.limits = limits
        self.requests_per_s = requests_per_s  # that one replica is bought for
        self._arrivals: deque[int] = deque(maxlen=round(RATE_WINDOW_S / TICK_S))
        self._needed = deque([(0.0, replicas)])

    def wanted(self, at: float, arrivals: int, replicas: int, *, outstanding: bool) -> int:
        """Replicas to have from `at` on, given the arrivals since the last tick and the replicas there are."""
        self._arrivals.append(arrivals)
        rate = sum(self._arrivals) / (len(self._arrivals) * TICK_S)
        needed = max(math.ceil(rate / self.requests_per_s), int(outstanding), self.limits.min_replicas)
        needed = min(needed, self.limits.max_replicas)
        self._needed.append((at, needed))
        while self._needed[0][0] < at - self.limits.scale_down_hold_s:
            self._needed.popleft()
        return max(needed, min(replicas, max(count for _, count in self._needed)))
