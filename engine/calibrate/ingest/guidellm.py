"""GuideLLM: one JSON report with its `metadata.version`, 1 or 2, and a benchmark for each load.

Source: guidellm/benchmark/schemas. `inter_token_latency_ms` of a request is (last - first token) / (output - 1): our
TPOT. Its summary counts tokens, so the requests' own values are taken where the file lists all of them.
`time_per_output_token_ms` includes the time to the first token and is never read.
"""

from collections.abc import Iterator, Sequence

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import PERCENTILES, Latency, Load, Result, ToolLevel
from engine.errors import InputError

TOOL = "GuideLLM"
WRITES = "GuideLLM JSON (versions 1 and 2)"
VERSIONS = (1, 2)


def sniff(fields: Fields) -> bool:
    return "metadata.guidellm_version" in fields or ("benchmarks" in fields and "metadata.version" in fields)


def version(files: Sequence[Fields]) -> str | None:
    return files[0].name("metadata.guidellm_version")


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        if fields.get("metadata.version") not in VERSIONS:
            found = str(fields.get("metadata.version"))[:20]
            raise InputError(f"{fields.where}: metadata.version is {found}; reports of version 1 and 2 are read")
        for benchmark in fields.parts("benchmarks"):
            model = benchmark.get("config.backend.model") or fields.get("args.model")
            facts = Facts(model=model_name(model if isinstance(model, str) else None))
            yield Result(benchmark.where, facts, _level(benchmark))


def _level(fields: Fields) -> ToolLevel:
    totals = "metrics.request_totals"
    finished = int(fields.needed(f"{totals}.successful"))
    requests = _requests(fields, finished)
    first = Latency.of([ttft for ttft, _ in requests]) if requests else _latency(fields, "time_to_first_token_ms")
    each = Latency.of([tpot for _, tpot in requests if tpot is not None]) if requests else _tpot(fields, finished)
    if each.mean is None and fields.number("metrics.time_per_output_token_ms.successful.mean"):
        raise InputError(
            f"{fields.where}: has no inter_token_latency_ms, only time_per_output_token_ms, which includes the time to "
            "the first token and so is no TPOT; benchmark with streaming"
        )
    duration_s = fields.needed("duration")
    inputs, outputs = _successful(fields, "prompt_token_count"), _successful(fields, "output_token_count")
    return ToolLevel(
        load=_load(fields),
        requests_per_s=finished / duration_s,
        output_tokens_per_s=outputs / duration_s,
        total_tokens_per_s=(inputs + outputs) / duration_s,
        mean_input_tokens=inputs / finished,
        mean_output_tokens=outputs / finished,
        ttft=first,
        tpot=each,
        e2e=_latency(fields, "request_latency", scale=1000.0),
        duration_s=duration_s,
        attempted=fields.count(f"{totals}.total"),
        finished=finished,
        input_tokens=int(inputs),
        output_tokens=int(outputs),
        requests=requests,
        measured_on=fields.day("start_time"),
    )


def _successful(fields: Fields, metric: str) -> float:
    return fields.needed(f"metrics.{metric}.successful.total_sum")


def _load(fields: Fields) -> Load:
    kind = fields.get("config.strategy.type_")
    if kind == "synchronous":
        return Load("closed", concurrency=1)
    if kind == "concurrent":
        return Load("closed", concurrency=int(fields.needed("config.strategy.streams")))
    if kind == "throughput":
        return Load("closed")
    if kind in ("poisson", "constant"):
        return Load("open", fields.needed("config.strategy.rate"), 1.0 if kind == "poisson" else None)
    raise InputError(
        f"{fields.where}: strategy {str(kind)[:20]!r} is not read; synchronous, concurrent, throughput, constant and "
        "poisson are"
    )


def _requests(fields: Fields, finished: int) -> tuple[tuple[float, float | None], ...] | None:
    """TTFT and TPOT of all that finished, or None where the report lists fewer."""
    rows = fields.parts("requests.successful")
    found = [(row.number("time_to_first_token_ms"), row.number("inter_token_latency_ms")) for row in rows]
    streamed = tuple((first, each) for first, each in found if first is not None)
    return streamed if len(streamed) == finished else None


def _latency(fields: Fields, metric: str, scale: float = 1.0) -> Latency:
    def told(name: str) -> float | None:
        value = fields.number(f"metrics.{metric}.successful.{name}")
        return None if value is None else value * scale

    count = fields.count(f"metrics.{metric}.successful.count")
    return Latency.told(count, told("mean"), {each: told(f"percentiles.p{each}") for each in PERCENTILES})


def _tpot(fields: Fields, finished: int) -> Latency:
    """Its count is of tokens; the requests are what a percentile rests on."""
    told = _latency(fields, "inter_token_latency_ms")
    return Latency.told(finished, told.mean, told.percentiles)
