"""The front of throughput against time per output token: what no other level beats in both. Pure, and cheap to import.

A price for a million tokens follows from it at any time per token: the machine's price over `Front.at(tpot_ms)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from engine.calibrate.interpolate import monotone_curve
from engine.calibrate.record import Record


class FrontPoint(NamedTuple):
    """One closed-loop level: its mean time per output token, what it generated a second, requests at a time."""

    tpot_ms: float
    output_tokens_per_s: float
    concurrency: int | None


class Interpolated(NamedTuple):
    """`clamped`: asked for outside the measured points, so it is the nearest one's value."""

    output_tokens_per_s: float
    clamped: bool


@dataclass(frozen=True, slots=True)
class Front:
    """Points in ascending TPOT and throughput, at least one."""

    points: tuple[FrontPoint, ...]

    def at(self, tpot_ms: float) -> Interpolated:
        """The throughput at a time per output token, between the points by a monotone curve."""
        first, last = self.points[0], self.points[-1]
        if not first.tpot_ms < tpot_ms < last.tpot_ms:
            nearest = first if tpot_ms <= first.tpot_ms else last
            return Interpolated(nearest.output_tokens_per_s, clamped=tpot_ms != nearest.tpot_ms)
        curve = monotone_curve([p.tpot_ms for p in self.points], [p.output_tokens_per_s for p in self.points])
        return Interpolated(curve(tpot_ms), clamped=False)


def front_points(record: Record) -> list[FrontPoint]:
    """Every closed-loop level that was finished, by concurrency; of a concurrency run several times, each."""
    points = [
        FrontPoint(level.tpot_ms.mean, level.output_tokens_per_s, level.concurrency)
        for level in record.levels
        if level.mode == "closed" and level.complete and level.tpot_ms.mean and level.output_tokens_per_s
    ]
    return sorted(points, key=lambda point: (point.concurrency or 0, point.tpot_ms))


def front_of(points: Iterable[FrontPoint]) -> Front | None:
    """The points that none beats in both; None without any."""
    kept: list[FrontPoint] = []
    for point in sorted(points, key=lambda point: (point.tpot_ms, -point.output_tokens_per_s)):
        if not kept or point.output_tokens_per_s > kept[-1].output_tokens_per_s:
            kept.append(point)
    return Front(tuple(kept)) if kept else None
