"""Reads a trace of requests: Mooncake's JSON lines, or Azure's CSV, which becomes the same rows.

    {"timestamp": 27000, "input_length": 1155, "output_length": 211, "hash_ids": [46, 47, 52]}     ms since any moment
    TIMESTAMP,ContextTokens,GeneratedTokens
    2023-11-16 18:15:46.6805900,374,44                                                        UTC unless a zone is given

`hash_ids` name the blocks of a prompt: where two prompts begin with the same ids, they begin with the same tokens. The
last one may stand for a part of a block, or be left out.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from engine.calibrate.workload.lengths import Lengths, Span
from engine.calibrate.workload.numbers import MOST_TOKENS
from engine.errors import InputError

AZURE_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
HASH_BLOCK_TOKENS = 512  # Mooncake's
MOST_REQUESTS = 1_000_000
MOST_MS = 1e15
MOST_LINE_BYTES = 1_000_000
GIVE = "give a Mooncake .jsonl or an Azure .csv"


class Row(NamedTuple):
    """One line, whatever the format."""

    ms: float
    input: int
    output: int
    hash_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order they came; `seconds` are their times since the first. `began_s` is the first one's Unix
    time, None where the format knows no clock."""

    name: str
    sha256: str
    seconds: tuple[float, ...]
    lengths: tuple[Lengths, ...]
    began_s: float | None = None

    @property
    def has_hash_ids(self) -> bool:
        return any(lengths.spans for lengths in self.lengths)

    @property
    def gaps(self) -> tuple[float, ...]:
        """Seconds before each request; before the first, as long as the mean. All of no time are refused."""
        last = self.seconds[-1]
        if last == 0:
            raise InputError(f"trace {self.name}: all requests come at once; leave arrivals out")
        between = (later - earlier for earlier, later in zip(self.seconds, self.seconds[1:], strict=False))
        return (last / (len(self.seconds) - 1), *between)


def trace_read(path: Path, hash_block_tokens: int = HASH_BLOCK_TOKENS) -> Trace:
    """Raises InputError that names the first line that can't be used, what is wrong with it and what would be right."""
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # no path may hold a zero byte
        raise InputError(f"trace {path} can't be read ({error}); {GIVE}") from None
    with file:
        return trace_parse(file, path.name, hash_block_tokens)


def trace_parse(file: BinaryIO, name: str, hash_block_tokens: int = HASH_BLOCK_TOKENS) -> Trace:
    """The same of a file that is open. Its first line tells the format; requests may be in any order."""
    digest = hashlib.sha256()
    found: list[tuple[Row, Lengths]] = []
    azure: bool | None = None
    for number, line in _lines(file, name, digest.update):
        try:
            if azure is None:
                azure = not line.startswith(("{", "[")) and _is_azure(line)
                if azure:
                    continue
            row = _azure_row(line) if azure else _mooncake_row(line)
            if len(found) == MOST_REQUESTS:
                raise ValueError(f"a request too many; a trace may have {MOST_REQUESTS:,}")
            found.append((row, _lengths(row, hash_block_tokens)))
        except (ValueError, csv.Error) as error:
            raise InputError(f"trace {name} line {number}: {error}") from None
    if not found:
        raise InputError(f"trace {name} has no requests; it must have at least one")
    found.sort(key=lambda each: each[0].ms)  # stable: a log that lists the newest first is one that people have
    began_ms = found[0][0].ms
    return Trace(
        name,
        digest.hexdigest(),
        tuple((row.ms - began_ms) / 1000 for row, _ in found),
        tuple(lengths for _, lengths in found),
        began_ms / 1000 if azure else None,
    )


def _lines(file: BinaryIO, name: str, each: Callable[[bytes], None]) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers; every byte is shown to `each`."""
    try:
        for number, line in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES), b""), start=1):
            each(line)
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text:
                yield number, text
    except ValueError as error:
        raise InputError(f"trace {name} can't be read ({error}); {GIVE}") from None


def _is_azure(line: str) -> bool:
    cells = next(csv.reader([line]))
    if cells != AZURE_HEADER:
        raise ValueError(
            f"{line[:80]!r} begins no trace that is known; an Azure CSV begins with {','.join(AZURE_HEADER)}, a "
            'Mooncake file with {"timestamp": …}'
        )
    return True


def _azure_row(line: str) -> Row:
    cells = next(csv.reader([line]))
    if len(cells) != len(AZURE_HEADER):
        raise ValueError(f"{len(cells)} columns; there must be {len(AZURE_HEADER)}")
    try:
        moment = datetime.fromisoformat(cells[0])
    except ValueError:
        raise ValueError(f"TIMESTAMP is {cells[0][:40]!r}; it must be a time such as 2023-11-16 18:15:46.68") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    input, output = (_tokens(name, cell) for name, cell in zip(AZURE_HEADER[1:], cells[1:], strict=True))
    return Row(moment.timestamp() * 1000, input, output, ())


def _mooncake_row(line: str) -> Row:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON; each line must be one JSON object") from None
    if not isinstance(raw, dict) or not {"timestamp", "input_length", "output_length"} <= raw.keys():
        raise ValueError("timestamp, input_length and output_length must be there")
    ms = raw["timestamp"]
    if isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 <= ms <= MOST_MS:
        raise ValueError(f"timestamp is {str(ms)[:40]!r}; it must be milliseconds, from 0 up")
    input, output = (_tokens(name, raw[name]) for name in ("input_length", "output_length"))
    return Row(ms, input, output, _hash_ids(raw.get("hash_ids", [])))


def _hash_ids(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list) or any(type(id) is not int or id < 0 for id in raw):
        raise ValueError("hash_ids must be a list of whole numbers from 0 up")
    return tuple(raw)


def _tokens(name: str, value: Any) -> int:
    """A whole number of tokens, given as a number or as text."""
    text = str(value).strip()
    if not text.isascii() or not text.isdigit() or len(text) > 8 or not 1 <= int(text) <= MOST_TOKENS:
        raise ValueError(f"{name} is {text[:40]!r}; it must be a whole number of tokens from 1 to {MOST_TOKENS:,}")
    return int(text)


def _lengths(row: Row, block: int) -> Lengths:
    """A row's lengths, with its blocks as spans of `block` tokens, the last one shorter."""
    count = len(row.hash_ids)
    if count not in (0, row.input // block, math.ceil(row.input / block)):
        raise ValueError(
            f"hash_ids has {count} ids; {row.input} tokens in blocks of {block} have {math.ceil(row.input / block)} "
            "(say hash_block_tokens if the blocks have another size)"
        )
    spans = (Span(id, min(block, row.input - place * block)) for place, id in enumerate(row.hash_ids))
    return Lengths(row.input, row.output, tuple(spans))
