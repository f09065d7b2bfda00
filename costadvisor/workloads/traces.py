"""A trace of requests: when each arrived and how long it was. No text, ever.

Two formats are read, told apart by their first line: Azure's CSV (`TIMESTAMP,ContextTokens,GeneratedTokens`,
Azure LLM inference dataset 2023) and Mooncake's JSON lines (`{"timestamp" ms, "input_length", "output_length"}`).
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
HOUR_S = 3600
WEEK_HOURS = 168
FEWEST_GAPS = 20

Read = TypeVar("Read")
Request = tuple[float, int, int]


class TraceError(ValueError):
    """A trace that can't be read: names the line, what is wrong and what would be right."""


@dataclass(frozen=True)
class Trace:
    """Requests in order of arrival: seconds since the first, and tokens; `began_at` is None in a file without dates."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    began_at: datetime | None

    @property
    def hours(self) -> float:
        """From the first to the last arrival."""
        return float(self.arrival_s[-1]) / HOUR_S

    @property
    def burstiness(self) -> float | None:
        """Gamma shape of the gaps between arrivals within the hour: 1 is Poisson, less is burstier.

        The inverse of their squared coefficient of variation, hour by hour so that the day's shape does not
        count as bursts. None where no hour has enough requests to tell.
        """
        hours = (self.arrival_s // HOUR_S).astype(int)
        gaps = [np.diff(self.arrival_s[hours == hour]) for hour in np.unique(hours)]
        enough = [hour_gaps for hour_gaps in gaps if len(hour_gaps) >= FEWEST_GAPS and hour_gaps.mean() > 0]
        if not enough:
            return None
        variations = [float(hour_gaps.var() / hour_gaps.mean() ** 2) for hour_gaps in enough]
        return 1 / max(float(np.average(variations, weights=[len(g) for g in enough])), 1e-3)

    @property
    def hour_weights(self) -> tuple[float, ...] | None:
        """168 weights with mean 1, Monday 00:00 UTC first; None for a trace that does not cover a dated week."""
        if self.began_at is None or self.hours < WEEK_HOURS:
            return None
        began = self.began_at.astimezone(UTC)
        since_monday_s = (began.weekday() * 24 + began.hour) * HOUR_S + began.minute * 60 + began.second
        whole_weeks = self.arrival_s < (self.hours // WEEK_HOURS) * WEEK_HOURS * HOUR_S
        hours = ((self.arrival_s[whole_weeks] + since_monday_s) // HOUR_S).astype(int) % WEEK_HOURS
        counts = np.bincount(hours, minlength=WEEK_HOURS)
        return tuple(float(count) for count in counts / counts.mean())


def trace_read(path: Path) -> tuple[Trace, str]:
    """The trace in a file, and the file's sha256. Raises TraceError."""
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path} is not text in UTF-8; give an Azure CSV or a Mooncake JSONL file") from None
    return trace_parse(lines, name=path.name), hashlib.sha256(content).hexdigest()


def trace_parse(lines: Iterable[str], *, name: str) -> Trace:
    """The trace in these lines; `name` is what errors call the file. Raises TraceError."""
    given = iter(lines)
    first = next(given, "").strip()
    if first.startswith("{"):
        requests = list(_mooncake(chain([first], given), name))
        return _trace(requests, None, name)
    if tuple(first.split(",")) != AZURE_COLUMNS:
        raise TraceError(
            f"{name} line 1 is {first[:60]!r}; it must be {','.join(AZURE_COLUMNS)} (Azure CSV) "
            "or a JSON object with timestamp, input_length and output_length (Mooncake JSONL)"
        )
    requests = list(_azure(given, name))
    began_at = datetime.fromtimestamp(min(requests)[0], UTC) if requests else None
    return _trace(requests, began_at, name)


def _trace(requests: list[Request], began_at: datetime | None, name: str) -> Trace:
    if not requests:
        raise TraceError(f"{name} has no requests; a trace needs at least one")
    arrival, inputs, outputs = zip(*sorted(requests), strict=True)
    arrival_s = np.array(arrival)
    return Trace(arrival_s - arrival_s[0], np.array(inputs), np.array(outputs), began_at)


def _azure(lines: Iterator[str], name: str) -> Iterator[Request]:
    for number, row in enumerate(csv.reader(lines), start=2):
        if not row:
            continue
        if len(row) != len(AZURE_COLUMNS):
            raise TraceError(f"{name} line {number} has {len(row)} columns; it must have {len(AZURE_COLUMNS)}")
        where = f"{name} line {number}: "
        yield (
            _checked(where + "TIMESTAMP", row[0], _utc_seconds, "a time such as 2023-11-16 18:15:46.68"),
            _tokens(where + "ContextTokens", row[1]),
            _tokens(where + "GeneratedTokens", row[2]),
        )


def _mooncake(lines: Iterable[str], name: str) -> Iterator[Request]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name} line {number}: "
        request = _checked(where + "the line", line, _json_object, "a JSON object")
        yield (
            _checked(where + "timestamp", request.get("timestamp"), _milliseconds, "a time in milliseconds"),
            _tokens(where + "input_length", request.get("input_length")),
            _tokens(where + "output_length", request.get("output_length")),
        )


def _tokens(field: str, value: Any) -> int:
    return _checked(field, value, _whole_from_one, "a whole number of tokens, at least 1")


def _checked(field: str, value: Any, read: Callable[[Any], Read], needed: str) -> Read:
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError):
        raise TraceError(f"{field} is {str(value)[:60]!r}; it must be {needed}") from None


def _utc_seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _milliseconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError
    return value / 1000


def _json_object(line: str) -> dict[str, Any]:
    parsed = json.loads(line)
    if not isinstance(parsed, dict):
        raise ValueError
    return parsed


def _whole_from_one(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(value) or int(value) < 1:
        raise ValueError
    return int(value)
