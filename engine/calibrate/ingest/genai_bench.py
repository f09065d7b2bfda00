"""genai-bench: a JSON object a run (`aggregated_metrics`), and `experiment_metadata.json`, which says what served.

Source: genai_bench/metrics/metrics.py. TPOT is (e2e - ttft) / (output - 1) of each request; `_time_unit` is s or ms.
"""

from collections.abc import Iterator, Sequence

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import PERCENTILES, Latency, Load, Result, ToolLevel
from engine.errors import InputError

TOOL = "genai-bench"
WRITES = "genai-bench JSON with its experiment_metadata.json"
_RUN = "aggregated_metrics"


def sniff(fields: Fields) -> bool:
    return f"{_RUN}.stats" in fields or _is_metadata(fields)


def _is_metadata(fields: Fields) -> bool:
    return "benchmark_version" in fields and "traffic_scenario" in fields


def version(files: Sequence[Fields]) -> str | None:
    return next((fields.name("benchmark_version") for fields in files if _is_metadata(fields)), None)


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        if _is_metadata(fields):
            yield Result(fields.where, _facts(fields), None)
        else:
            yield Result(fields.where, Facts(), _level(fields))


def _facts(fields: Fields) -> Facts:
    count = fields.name("server_gpu_count")
    return Facts(
        model=model_name(fields.name("model") or fields.name("api_model_name")),
        gpu=fields.name("server_gpu_type"),
        gpus=int(count) if count and count.isdigit() and int(count) else None,
        engine=fields.name("server_engine"),
        engine_version=fields.name("server_version"),
    )


def _level(fields: Fields) -> ToolLevel:
    if fields.get(f"{_RUN}.iteration_type") != "num_concurrency":
        raise InputError(f"{fields.where}: iteration_type must be num_concurrency; other runs are not of this kind")
    unit = fields.get("_time_unit") or "s"
    if unit not in ("s", "ms"):
        raise InputError(f"{fields.where}: _time_unit is {str(unit)[:20]!r}; it must be s or ms")
    scale = 1000.0 if unit == "s" else 1.0
    finished = int(fields.needed(f"{_RUN}.num_completed_requests"))
    return ToolLevel(
        load=Load("closed", concurrency=int(fields.needed(f"{_RUN}.num_concurrency"))),
        requests_per_s=fields.needed(f"{_RUN}.requests_per_second"),
        output_tokens_per_s=fields.needed(f"{_RUN}.mean_output_throughput_tokens_per_s"),
        total_tokens_per_s=fields.number(f"{_RUN}.mean_total_tokens_throughput_tokens_per_s"),
        mean_input_tokens=fields.needed(f"{_RUN}.stats.num_input_tokens.mean"),
        mean_output_tokens=fields.needed(f"{_RUN}.stats.num_output_tokens.mean"),
        ttft=_latency(fields, "ttft", finished, scale),
        tpot=_latency(fields, "tpot", finished, scale),
        e2e=_latency(fields, "e2e_latency", finished, scale),
        duration_s=fields.needed(f"{_RUN}.run_duration"),
        attempted=fields.count(f"{_RUN}.num_requests"),
        finished=finished,
        input_tokens=fields.count(f"{_RUN}.stats.num_input_tokens.sum"),
        output_tokens=fields.count(f"{_RUN}.stats.num_output_tokens.sum"),
    )


def _latency(fields: Fields, metric: str, n: int, scale: float) -> Latency:
    def told(name: str) -> float | None:
        value = fields.number(f"{_RUN}.stats.{metric}.{name}")
        return None if value is None else value * scale

    return Latency.told(n, told("mean"), {each: told(f"p{each}") for each in PERCENTILES})
