"""When requests arrive, and how long they are: 168 hourly rates with gamma gaps, or a trace with its own times."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.calibrate.fleet.timeline import HOUR_S, Timeline
from engine.calibrate.workload import Lengths, Workload
from engine.calibrate.workload.trace import trace_read
from engine.errors import InputError

WEEK_HOURS = 168
DRAWN_AT_ONCE = 4096


class Traffic(Protocol):
    """Arrivals in the order of their time, on a timeline."""

    @property
    def timeline(self) -> Timeline: ...

    @property
    def requests_per_s(self) -> tuple[float, ...]:
        """Of each hour."""

    @property
    def longest(self) -> Lengths: ...

    def arrivals(self) -> Iterator[tuple[float, Lengths]]:
        """Seconds from the start, and lengths."""


@dataclass(frozen=True, slots=True)
class HourlyTraffic:
    """A rate for each hour. Gaps between arrivals are gamma in units of the rate, so that bursts run through hours."""

    timeline: Timeline
    requests_per_s: tuple[float, ...]
    workload: Workload
    seed: int = 0

    @property
    def longest(self) -> Lengths:
        return self.workload.longest

    def arrivals(self) -> Iterator[tuple[float, Lengths]]:
        rng = np.random.default_rng([self.seed, 1])
        shape = self.workload.burstiness
        ends = np.arange(self.timeline.hours + 1) * self.timeline.segment_s
        expected = np.concatenate([[0.0], np.cumsum(np.array(self.requests_per_s) * self.timeline.segment_s)])
        reached, lengths = 0.0, self._lengths()
        while True:
            due = reached + rng.gamma(shape, 1 / shape, DRAWN_AT_ONCE).cumsum()
            reached = due[-1]
            inside = due[due < expected[-1]]
            yield from zip(np.interp(inside, expected, ends).tolist(), lengths, strict=False)
            if len(inside) < len(due):
                return

    def _lengths(self) -> Iterator[Lengths]:
        rng = np.random.default_rng([self.seed, 4])
        while True:
            yield from self.workload.sample(DRAWN_AT_ONCE, rng)


@dataclass(frozen=True, slots=True)
class TraceTraffic:
    """The arrivals of a trace, at its own times from its first one on."""

    at_s: tuple[float, ...]
    lengths: tuple[Lengths, ...]

    @property
    def timeline(self) -> Timeline:
        return Timeline(int(self.at_s[-1] // HOUR_S) + 1)

    @property
    def requests_per_s(self) -> tuple[float, ...]:
        counts = np.bincount((np.array(self.at_s) // HOUR_S).astype(int), minlength=self.timeline.hours)
        return tuple((counts / HOUR_S).tolist())

    @property
    def longest(self) -> Lengths:
        return max(self.lengths, key=lambda lengths: lengths.total)

    def arrivals(self) -> Iterator[tuple[float, Lengths]]:
        yield from zip(self.at_s, self.lengths, strict=True)


def weekly_rates(requests_per_s: float | None, shape: Path | None) -> tuple[float, ...]:
    """168 rates from Monday 00:00 UTC: a flat one, a file's, or a file's scaled to a mean; raises InputError."""
    if requests_per_s is not None and not 0 < requests_per_s < math.inf:
        raise InputError(f"--requests-per-second is {requests_per_s:g}; it must be a number above 0")
    if shape is None:
        return (requests_per_s or 0.0,) * WEEK_HOURS
    weights = _weights(shape)
    scale = 1.0 if requests_per_s is None else requests_per_s * WEEK_HOURS / sum(weights)
    return tuple(weight * scale for weight in weights)


def _weights(path: Path) -> list[float]:
    wanted = f"a JSON list of {WEEK_HOURS} numbers from 0 up, one for each hour from Monday 00:00 UTC"
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"--hourly-shape {path} can't be read ({error.strerror}); give {wanted}") from None
    except ValueError as error:
        raise InputError(f"--hourly-shape {path} is not JSON ({error}); give {wanted}") from None
    if not isinstance(raw, list) or len(raw) != WEEK_HOURS:
        found = f"{len(raw)} entries" if isinstance(raw, list) else type(raw).__name__
        raise InputError(f"--hourly-shape {path} holds {found}; it must be {wanted}")
    for hour, value in enumerate(raw):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"--hourly-shape {path}: hour {hour} is {value!r}; it must be a number from 0 up")
    if not any(raw):
        raise InputError(f"--hourly-shape {path}: every hour is 0; at least one must have traffic")
    return [float(value) for value in raw]


def trace_traffic(path: Path) -> TraceTraffic:
    """Read Azure's CSV or Mooncake's JSONL with its times; raises InputError naming the line."""
    trace = trace_read(path)
    return TraceTraffic(trace.seconds, trace.lengths)
