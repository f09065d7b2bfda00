"""When requests arrive, and how long they are: 168 hourly rates with gamma gaps, or a trace with its own times."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.calibrate.fleet.timeline import HOUR_S, Timeline
from engine.calibrate.workload import AZURE_HEADER, Lengths, Workload
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
        reached = 0.0
        while True:
            due = reached + rng.gamma(shape, 1 / shape, DRAWN_AT_ONCE).cumsum()
            reached = due[-1]
            inside = due[due < expected[-1]]
            lengths = self.workload.sample(len(inside), rng)
            yield from zip(np.interp(inside, expected, ends).tolist(), lengths, strict=True)
            if len(inside) < len(due):
                return


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
        return max(self.lengths, key=sum)

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
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--trace {path} can't be read ({error}); give a Mooncake .jsonl or an Azure .csv") from None
    rows = sorted(_azure(path, lines) if path.suffix == ".csv" else _mooncake(path, lines))
    if not rows:
        raise InputError(f"--trace {path} has no requests; it must have at least one")
    first = rows[0][0]
    return TraceTraffic(tuple(at - first for at, _ in rows), tuple(lengths for _, lengths in rows))


def _azure(path: Path, lines: Sequence[str]) -> Iterator[tuple[float, Lengths]]:
    rows = csv.reader(lines)
    header = next(rows, [])
    if header != AZURE_HEADER:
        raise InputError(f"{path} line 1: the columns are {','.join(header)!r}; they must be {','.join(AZURE_HEADER)}")
    for number, row in enumerate(rows, start=2):
        where = f"{path} line {number}"
        if len(row) != len(AZURE_HEADER):
            raise InputError(f"{where}: {len(row)} columns; there must be {len(AZURE_HEADER)}")
        try:
            # Seven decimals, where Python reads six.
            at = datetime.strptime(row[0][:26], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise InputError(f"{where}: TIMESTAMP is {row[0]!r}; it must be like 2023-11-16 18:15:46.680590") from None
        yield at, Lengths(_tokens(where, AZURE_HEADER[1], row[1]), _tokens(where, AZURE_HEADER[2], row[2]))


def _mooncake(path: Path, lines: Sequence[str]) -> Iterator[tuple[float, Lengths]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
            at, asked, answered = row["timestamp"], row["input_length"], row["output_length"]
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{where}: it must be a JSON object with timestamp, input_length, output_length") from None
        if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
            raise InputError(f"{where}: timestamp is {at!r}; it must be a number of milliseconds")
        yield at / 1000, Lengths(_tokens(where, "input_length", asked), _tokens(where, "output_length", answered))


def _tokens(where: str, name: str, value: Any) -> int:
    try:
        if isinstance(value, bool) or float(value) != int(value) or int(value) < 1:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {name} is {value!r}; it must be a whole number of tokens, at least 1") from None
    return int(value)
