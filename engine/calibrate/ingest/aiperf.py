"""AIPerf's summary of a run, `profile_export_aiperf.json`, one JSON object with its `schema_version`.

Source: AIPerf 0.13. `inter_token_latency` is (latency - ttft) / (output - 1) of each request: our TPOT; the single gaps
are `inter_chunk_latency`. How the requests were sent stands in `input_config.phases`.
"""

from collections.abc import Iterator, Sequence

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import PERCENTILES, Latency, Load, Result, ToolLevel
from engine.errors import InputError

TOOL = "AIPerf"
WRITES = "AIPerf profile_export_aiperf.json"
KNOWN_SCHEMAS = ("1.",)
MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "sec": 1000.0, "s": 1000.0}


def sniff(fields: Fields) -> bool:
    return "schema_version" in fields and "request_throughput" in fields and "input_config" in fields


def version(files: Sequence[Fields]) -> str | None:
    return files[0].name("aiperf_version")


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        known = fields.name("schema_version") or ""
        if not known.startswith(KNOWN_SCHEMAS):
            raise InputError(f"{fields.where}: schema_version is {known}; versions 1.x are read")
        models = fields.parts("input_config.models.items")
        facts = Facts(model=model_name(models[0].name("name")) if len(models) == 1 else None)
        if len(models) > 1:
            raise InputError(f"{fields.where}: requests went to {len(models)} models; import runs of one")
        yield Result(fields.where, facts, _level(fields))


def _level(fields: Fields) -> ToolLevel:
    finished = int(fields.needed("request_count.avg"))
    failed = sum(error.count("count") or 0 for error in fields.parts("error_summary"))
    mean_input = fields.needed("input_sequence_length.avg")
    mean_output = fields.needed("output_sequence_length.avg")
    return ToolLevel(
        load=_load(fields),
        requests_per_s=fields.needed("request_throughput.avg"),
        output_tokens_per_s=fields.needed("output_token_throughput.avg"),
        total_tokens_per_s=fields.needed("request_throughput.avg") * (mean_input + mean_output),
        mean_input_tokens=mean_input,
        mean_output_tokens=mean_output,
        ttft=_latency(fields, "time_to_first_token"),
        tpot=_latency(fields, "inter_token_latency"),
        itl_gap=_latency(fields, "inter_chunk_latency"),
        e2e=_latency(fields, "request_latency"),
        duration_s=fields.needed("benchmark_duration.avg"),
        attempted=finished + failed,
        finished=finished,
        input_tokens=fields.count("input_sequence_length.sum"),
        output_tokens=fields.count("output_sequence_length.sum"),
        complete=fields.get("was_cancelled") is not True,
        measured_on=(fields.name("start_time") or "")[:10] or None,
    )


def _load(fields: Fields) -> Load | None:
    """Of the phase that was profiled; None where there is none, or where requests were sent in another way."""
    phases = [phase for phase in fields.parts("input_config.phases") if phase.get("kind") == "profiling"]
    if len(phases) != 1:
        return None
    phase, kind = phases[0], phases[0].get("type")
    concurrency = phase.count("concurrency")
    if kind == "concurrency":
        return Load("closed", concurrency=concurrency)
    if kind not in ("poisson", "gamma", "constant"):
        return None
    rate = phase.needed("rate")
    if concurrency is not None:
        return Load("closed", rate, concurrency=concurrency)
    burstiness = {"poisson": 1.0, "gamma": phase.number("smoothness"), "constant": None}
    return Load("open", rate, burstiness[str(kind)])


def _latency(fields: Fields, metric: str) -> Latency:
    unit = fields.get(f"{metric}.unit")
    if metric not in fields:
        return Latency()
    if unit not in MILLISECONDS:
        raise InputError(f"{fields.where}: {metric} has unit {str(unit)[:20]!r}; it must be one of time")

    def told(name: str) -> float | None:
        value = fields.number(f"{metric}.{name}")
        return None if value is None else value * MILLISECONDS[str(unit)]

    return Latency.told(fields.count(f"{metric}.count"), told("avg"), {each: told(f"p{each}") for each in PERCENTILES})
