"""What happened, added up by hour. Nothing is kept of single requests: a week takes as much memory as a day."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from engine.calibrate.fleet.timeline import Timeline
from engine.calibrate.metrics import Histogram
from engine.calibrate.slo import Slo


@dataclass(slots=True)
class HourTally:
    """Sums of one hour's counted window; requests count in the hour they arrive in."""

    arrived: int = 0
    overflowed: int = 0
    finished: int = 0
    resent: int = 0
    ttft_met: int = 0
    tpot_met: int = 0
    slo_met: int = 0
    queue_max: int = 0
    waiting_s: float = 0.0  # of all requests
    busy_s: float = 0.0  # of all replicas
    ready_s: float = 0.0
    billed_h: float = 0.0  # of the whole hour
    ttft_ms: Histogram = field(default_factory=Histogram)
    tpot_ms: Histogram = field(default_factory=Histogram)

    @property
    def attempted(self) -> int:
        return self.arrived - self.overflowed

    @classmethod
    def sum(cls, hours: Iterable["HourTally"]) -> "HourTally":
        total = cls()
        for hour in hours:
            for column in fields(cls):
                one, other = getattr(total, column.name), getattr(hour, column.name)
                setattr(total, column.name, JOINED.get(column.name, operator.add)(one, other))
        return total


# How two hours' values become one, where not by adding.
JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "queue_max": max,
    "ttft_ms": Histogram.merge,
    "tpot_ms": Histogram.merge,
}


class Tally:
    def __init__(self, timeline: Timeline, slo: Slo) -> None:
        self.timeline = timeline
        self.slo = slo
        self.hours = [HourTally() for _ in range(timeline.hours)]
        self.lost_replicas = 0

    def _hour(self, at: float) -> HourTally | None:
        hour = self.timeline.counted_hour(at)
        return None if hour is None else self.hours[hour]

    def arrived(self, at: float, *, waiting: int, overflows: bool) -> None:
        """`waiting` is what it finds, itself not counted."""
        hour = self._hour(at)
        if hour is not None:
            hour.arrived += 1
            hour.overflowed += overflows
            hour.queue_max = max(hour.queue_max, waiting + (not overflows))

    def resent(self, at: float) -> None:
        hour = self._hour(at)
        if hour is not None:
            hour.resent += 1

    def waited(self, since: float, seconds: float) -> None:
        """One request waited before its replica looked at it."""
        hour = self._hour(since)
        if hour is not None:
            hour.waiting_s += seconds

    def worked(self, since: float, seconds: float, waiting: int) -> None:
        """A replica computed while so many waited on it."""
        for hour, _, counted in self.timeline.overlaps(since, since + seconds):
            self.hours[hour].busy_s += counted
            self.hours[hour].waiting_s += counted * waiting

    def finished(self, at: float, first: float, last: float, output: int) -> None:
        hour = self._hour(at)
        if hour is None:
            return
        ttft_ms = (first - at) * 1000
        hour.finished += 1
        hour.ttft_ms.add(ttft_ms)
        ttft_met, tpot_met = ttft_ms <= self.slo.ttft_p95_ms, True  # one token alone has no TPOT to miss
        if output > 1:
            tpot_ms = (last - first) / (output - 1) * 1000
            hour.tpot_ms.add(tpot_ms)
            tpot_met = tpot_ms <= self.slo.tpot_p95_ms
        hour.ttft_met += ttft_met
        hour.tpot_met += tpot_met
        hour.slo_met += ttft_met and tpot_met

    def served(self, asked: float, ready: float, left: float, billed_to: float) -> None:
        """A replica is gone, or the time is over."""
        for hour, seconds, _ in self.timeline.overlaps(asked, billed_to):
            self.hours[hour].billed_h += seconds / self.timeline.segment_s
        for hour, _, counted in self.timeline.overlaps(ready, max(ready, left)):
            self.hours[hour].ready_s += counted
