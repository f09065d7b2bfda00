"""Reads a request trace. Pure.

Azure's public CSV (`TIMESTAMP,ContextTokens,GeneratedTokens`; the times are UTC) and Mooncake's JSON lines
(`timestamp` in ms since the start, `input_length`, `output_length`).
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

AZURE_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
MAX_REQUESTS = 1_000_000
MAX_TOKENS = 10_000_000


class BadTrace(ValueError):
    """The trace cannot be used; `str()` is one line that names the line at fault."""


@dataclass(frozen=True)
class Request:
    """Arrival in seconds (unix time, or since the start of the trace), lengths in tokens."""

    arrival_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Trace:
    """Requests by arrival; at least one. `has_clock` says whether arrivals are moments of a real week."""

    label: str
    requests: tuple[Request, ...]
    has_clock: bool

    @property
    def span_s(self) -> float:
        return self.requests[-1].arrival_s - self.requests[0].arrival_s


def parse_trace(content: bytes) -> Trace:
    """Raises BadTrace for an empty file, an unknown format, or the first line that cannot be read."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadTrace(f"The trace is not UTF-8 text (byte {error.start}).") from None
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not filled:
        raise BadTrace("The trace is empty; it needs at least one request.")
    if filled[0][1].lstrip().startswith("{"):
        return _trace("Mooncake trace", filled, _mooncake_request, has_clock=False)
    if next(csv.reader([filled[0][1]])) == AZURE_HEADER:
        return _trace("Azure trace", filled[1:], _azure_request, has_clock=True)
    raise BadTrace(
        f"Line {filled[0][0]} begins no trace we know: an Azure CSV starts with {','.join(AZURE_HEADER)},"
        ' a Mooncake file with {"timestamp": …}.'
    )


def _trace(label: str, lines: list[tuple[int, str]], read: Callable[[str], Request], *, has_clock: bool) -> Trace:
    if not lines:
        raise BadTrace("The trace has a header but no requests; it needs at least one.")
    if len(lines) > MAX_REQUESTS:
        raise BadTrace(f"The trace has {len(lines):,} requests; at most {MAX_REQUESTS:,} are read.")
    requests = sorted(_requests(lines, read), key=lambda request: request.arrival_s)
    return Trace(label, tuple(requests), has_clock)


def _requests(lines: list[tuple[int, str]], read: Callable[[str], Request]) -> Iterator[Request]:
    for number, line in lines:
        try:
            yield read(line)
        except (ValueError, RecursionError, csv.Error) as error:
            raise BadTrace(f"Line {number}: {error}") from None


def _azure_request(line: str) -> Request:
    cells = next(csv.reader([line]))
    if len(cells) != len(AZURE_HEADER):
        raise ValueError(f"{len(cells)} cells where {len(AZURE_HEADER)} are due: {','.join(AZURE_HEADER)}")
    try:
        moment = datetime.fromisoformat(cells[0])
    except ValueError:
        raise ValueError(f"TIMESTAMP {cells[0][:40]!r} is not a time such as 2023-11-16 18:15:46.68") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Request(moment.timestamp(), _tokens("ContextTokens", cells[1]), _tokens("GeneratedTokens", cells[2]))


def _mooncake_request(line: str) -> Request:
    try:
        fields = json.loads(line)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError('is not an object such as {"timestamp": 0, "input_length": 900, "output_length": 200}')
    timestamp = fields.get("timestamp")
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool) or not 0 <= timestamp < 1e13:
        raise ValueError(f"timestamp {timestamp!r} is not milliseconds since the start of the trace")
    lengths = (_tokens(name, fields.get(name)) for name in ("input_length", "output_length"))
    return Request(timestamp / 1000, *lengths)


def _tokens(name: str, value: Any) -> int:
    text = str(value).strip()
    if not text.isascii() or not text.isdigit() or len(text) > 8 or not 1 <= int(text) <= MAX_TOKENS:
        raise ValueError(f"{name} {text[:40]!r} is not a whole number of tokens from 1 to {MAX_TOKENS:,}")
    return int(text)
