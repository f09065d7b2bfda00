"""Simulated time and the hours it stands for."""

from collections.abc import Iterator
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """`hours` segments of `segment_s` on end, one for each hour. What happens in the first `warm_in_s` of a segment is
    simulated and not counted. A segment shorter than an hour is a sample of it: what follows is the next hour's, so
    that arrivals never stop behind a counted request."""

    hours: int
    segment_s: float = HOUR_S
    warm_in_s: float = 0.0

    @property
    def end_s(self) -> float:
        return self.hours * self.segment_s

    @property
    def window_s(self) -> float:
        """Counted seconds of each hour."""
        return self.segment_s - self.warm_in_s

    def counted_hour(self, at: float) -> int | None:
        """The hour that `at` counts for; None in a warm-in, and after the end."""
        hour = int(at // self.segment_s)
        return hour if hour < self.hours and at - hour * self.segment_s >= self.warm_in_s else None

    def overlaps(self, start: float, end: float) -> Iterator[tuple[int, float, float]]:
        """Hours that an interval touches, each with its seconds in the segment, and in what of it is counted."""
        end = min(end, self.end_s)
        hour = int(start // self.segment_s)
        while hour * self.segment_s < end:
            begins, ends = hour * self.segment_s, min(end, (hour + 1) * self.segment_s)
            counted = max(0.0, ends - max(start, begins + self.warm_in_s))
            yield hour, ends - max(start, begins), counted
            hour += 1
