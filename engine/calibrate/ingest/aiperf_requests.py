"""AIPerf's rows of a run, `profile_export.jsonl`: one request a line. How they were sent it does not say.

Source: AIPerf 0.13; metrics as in the summary, each `{value, unit}`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from engine.calibrate.ingest.aiperf import MILLISECONDS
from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts
from engine.calibrate.ingest.tool_level import Latency, Result, ToolLevel
from engine.errors import InputError

TOOL = "AIPerf"
WRITES = "AIPerf profile_export.jsonl"


def sniff(fields: Fields) -> bool:
    return "metadata.request_start_ns" in fields and ("metrics" in fields or "error" in fields)


def version(files: Sequence[Fields]) -> str | None:
    return None


def results(files: Sequence[Fields]) -> Iterator[Result]:
    """One level of all rows of a file; its rows are told apart from another file's by the file's name."""
    names = dict.fromkeys(fields.where.rsplit(", entry ", 1)[0] for fields in files)
    for name in names:
        rows = [fields for fields in files if fields.where.rsplit(", entry ", 1)[0] == name]
        yield Result(name, Facts(), _level(name, rows))


def _level(name: str, rows: Sequence[Fields]) -> ToolLevel:
    rows = [row for row in rows if row.get("metadata.benchmark_phase") in (None, "profiling")]
    good = [row for row in rows if not row.get("error") and row.get("metadata.was_cancelled") is not True]
    if not good:
        raise InputError(f"{name}: no request finished; give a run in which some did")
    seconds = _span_s(good)
    inputs = sum(int(row.needed("metrics.input_sequence_length.value")) for row in good)
    outputs = sum(int(row.needed("metrics.output_sequence_length.value")) for row in good)
    requests = [(_ms(row, "time_to_first_token"), _ms(row, "inter_token_latency")) for row in good]
    streamed = [(first, each) for first, each in requests if first is not None]
    gaps = [_gaps_ms(row) for row in good]
    return ToolLevel(
        load=None,
        requests_per_s=len(good) / seconds,
        output_tokens_per_s=outputs / seconds,
        total_tokens_per_s=(inputs + outputs) / seconds,
        mean_input_tokens=inputs / len(good),
        mean_output_tokens=outputs / len(good),
        ttft=Latency.of([first for first, _ in streamed]),
        tpot=Latency.of([each for _, each in streamed if each is not None]),
        itl_gap=Latency.of(list(chain.from_iterable(gaps))),
        e2e=Latency.of([ms for row in good if (ms := _ms(row, "request_latency")) is not None]),
        duration_s=seconds,
        attempted=len(rows),
        finished=len(good),
        input_tokens=inputs,
        output_tokens=outputs,
        requests=tuple(streamed) if len(streamed) == len(good) else None,
        measured_on=good[0].day("metadata.request_start_ns", per_second=1e9),
    )


def _span_s(rows: Sequence[Fields]) -> float:
    """From the first request's start to the last one's end."""
    started = min(row.needed("metadata.request_start_ns") for row in rows)
    return max(max(row.needed("metadata.request_end_ns") for row in rows) - started, 1) / 1e9


def _ms(row: Fields, metric: str) -> float | None:
    value, unit = row.number(f"metrics.{metric}.value"), row.get(f"metrics.{metric}.unit")
    if value is None:
        return None
    return value * _scale(row, metric, unit)


def _gaps_ms(row: Fields) -> list[float]:
    gaps = row.numbers("metrics.inter_chunk_latency.value")
    if not gaps:
        return []
    scale = _scale(row, "inter_chunk_latency", row.get("metrics.inter_chunk_latency.unit"))
    return [gap * scale for gap in gaps]


def _scale(row: Fields, metric: str, unit: object) -> float:
    if unit not in MILLISECONDS:
        raise InputError(f"{row.where}: {metric} has unit {str(unit)[:20]!r}; it must be one of time")
    return MILLISECONDS[str(unit)]
