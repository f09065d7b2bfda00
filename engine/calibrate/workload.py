"""Which lengths are sent. Input and output of one request are always drawn together: they are correlated.

A workload file is JSON and one of

    {"input_tokens": {"mean": 1155}, "output_tokens": {"mean": 211}}        as in a case; run as fixed lengths
    {"mix": [{"input": 512, "output": 128, "weight": 3}, …]}
    {"trace": "trace.jsonl"}          Mooncake JSONL, or Azure's CSV; relative to the workload file

with `burstiness` (gamma shape of arrivals, 1 is Poisson) and `prefix_hit_share` (only 0 so far) beside it.
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from numpy.random import Generator

from engine.errors import InputError

AZURE_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
WORKLOAD_KEYS = {"input_tokens", "output_tokens", "mix", "trace", "burstiness", "prefix_hit_share"}


class Lengths(NamedTuple):
    """Tokens of one request: its prompt, and what is generated after it."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Workload:
    """Pairs of lengths with weights (all alike in a trace), and how arrivals clump (1 is Poisson, less is burstier)."""

    kind: Literal["fixed", "mix", "trace"]
    lengths: tuple[Lengths, ...]
    weights: tuple[float, ...]
    burstiness: float = 1.0
    trace: str | None = None
    trace_sha256: str | None = None

    def sample(self, count: int, rng: Generator) -> tuple[Lengths, ...]:
        total = sum(self.weights)
        chosen = rng.choice(len(self.lengths), size=count, p=[weight / total for weight in self.weights])
        return tuple(self.lengths[number] for number in chosen)

    @property
    def mean(self) -> tuple[float, float]:
        """Mean input and output tokens a request."""
        total = sum(self.weights)
        pairs = list(zip(self.lengths, self.weights, strict=True))
        return sum(p.input * w for p, w in pairs) / total, sum(p.output * w for p, w in pairs) / total

    @property
    def longest(self) -> Lengths:
        """The request that needs the most room."""
        return max(self.lengths, key=sum)

    def beyond(self, tokens: int) -> int:
        """How many of the pairs are longer than `tokens` in all."""
        return sum(pair.input + pair.output > tokens for pair in self.lengths)


def workload_fixed(input_tokens: float, output_tokens: float, *, burstiness: float = 1.0) -> Workload:
    """Every request alike; raises InputError for lengths under one token. Means are rounded to whole tokens."""
    pair = Lengths(_tokens("input_tokens", round(input_tokens)), _tokens("output_tokens", round(output_tokens)))
    return Workload("fixed", (pair,), (1.0,), burstiness)


def workload_read(path: Path) -> Workload:
    """Read a workload file; raises InputError naming the field or line, what was wrong and what would be right."""
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"--workload {path} can't be read ({error.strerror}); give a JSON file") from None
    except ValueError as error:
        raise InputError(f"--workload {path} is not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise InputError(f"--workload {path} holds {type(raw).__name__}; it must be a JSON object")
    unknown = raw.keys() - WORKLOAD_KEYS
    if unknown:
        raise InputError(
            f"--workload {path}: {min(unknown)} is not known; known are {', '.join(sorted(WORKLOAD_KEYS))}"
        )
    return _parse(raw, path)


def _parse(raw: dict[str, Any], path: Path) -> Workload:
    if raw.get("prefix_hit_share", 0) != 0:
        raise InputError(
            f"prefix_hit_share is {raw['prefix_hit_share']}; only 0 can be measured so far, so leave it out"
        )
    burstiness = _positive("burstiness", raw.get("burstiness", 1.0))
    given = [key for key in ("mix", "trace", "input_tokens") if key in raw]
    if len(given) != 1:
        raise InputError(
            f"--workload {path} must have exactly one of mix, trace, or input_tokens with output_tokens; "
            f"it has {' and '.join(given) or 'none'}"
        )
    if "mix" in raw:
        return _mix(raw["mix"], burstiness)
    if "trace" in raw:
        return _trace(raw["trace"], path.parent, burstiness)
    return _case_lengths(raw, path.parent, burstiness)


def _case_lengths(raw: dict[str, Any], folder: Path, burstiness: float) -> Workload:
    """`input_tokens` and `output_tokens` as a case has them: means, or both from one trace."""
    means: dict[str, float] = {}
    traces: set[Any] = set()
    for name in ("input_tokens", "output_tokens"):
        given = raw.get(name)
        if isinstance(given, dict) and given.keys() == {"mean"}:
            means[name] = _positive(f"{name}.mean", given["mean"])
        elif isinstance(given, dict) and given.keys() == {"trace"}:
            traces.add(str(given["trace"]))
        else:
            raise InputError(f'{name} is {json.dumps(given)}; it must be {{"mean": tokens}} or {{"trace": path}}')
    if len(traces) == 1 and not means:
        return _trace(traces.pop(), folder, burstiness)
    if traces:
        raise InputError("input_tokens and output_tokens must come from the same trace, or both be means")
    return workload_fixed(means["input_tokens"], means["output_tokens"], burstiness=burstiness)


def _mix(entries: Any, burstiness: float) -> Workload:
    if not isinstance(entries, list) or not entries:
        raise InputError("mix must be a list with at least one {input, output, weight}")
    lengths, weights = [], []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.keys() != {"input", "output", "weight"}:
            raise InputError(f"mix[{number}] must have exactly input, output and weight")
        lengths.append(
            Lengths(
                _tokens(f"mix[{number}].input", entry["input"]),
                _tokens(f"mix[{number}].output", entry["output"]),
            )
        )
        weights.append(_positive(f"mix[{number}].weight", entry["weight"]))
    return Workload("mix", tuple(lengths), tuple(weights), burstiness)


def _trace(name: Any, folder: Path, burstiness: float) -> Workload:
    if not isinstance(name, str):
        raise InputError(f"trace is {json.dumps(name)}; it must be the path of a .jsonl or .csv file")
    path = folder / name
    try:
        data = path.read_bytes()
        lines = data.decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"trace {path} can't be read ({error}); give a Mooncake .jsonl or an Azure .csv") from None
    rows = _azure_rows(path, lines) if path.suffix == ".csv" else _mooncake_rows(path, lines)
    lengths = tuple(rows)
    if not lengths:
        raise InputError(f"trace {path} has no requests; it must have at least one")
    return Workload(
        "trace",
        lengths,
        (1.0,) * len(lengths),
        burstiness,
        trace=path.name,
        trace_sha256=hashlib.sha256(data).hexdigest(),
    )


def _azure_rows(path: Path, lines: list[str]) -> Iterator[Lengths]:
    rows = csv.reader(lines)
    header = next(rows, [])
    if header != AZURE_HEADER:
        raise InputError(f"{path} line 1: the columns are {','.join(header)!r}; they must be {','.join(AZURE_HEADER)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(AZURE_HEADER):
            raise InputError(f"{path} line {number}: {len(row)} columns; there must be {len(AZURE_HEADER)}")
        where = f"{path} line {number}: "
        yield Lengths(_tokens(where + "ContextTokens", row[1]), _tokens(where + "GeneratedTokens", row[2]))


def _mooncake_rows(path: Path, lines: list[str]) -> Iterator[Lengths]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}: "
        try:
            row = json.loads(line)
        except ValueError:
            raise InputError(f"{where}not JSON; each line must be one JSON object") from None
        if not isinstance(row, dict) or not {"input_length", "output_length"} <= row.keys():
            raise InputError(f"{where}input_length and output_length must be there")
        yield Lengths(
            _tokens(where + "input_length", row["input_length"]),
            _tokens(where + "output_length", row["output_length"]),
        )


def _tokens(name: str, value: Any) -> int:
    """A whole number of tokens from 1 up, given as a number or as text."""
    try:
        if isinstance(value, bool) or float(value) != int(value) or int(value) < 1:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {value!r}; it must be a whole number of tokens, at least 1") from None
    return int(value)


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{name} is {value!r}; it must be a number above 0")
    return float(value)
