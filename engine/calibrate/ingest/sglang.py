"""SGLang: `python -m sglang.bench_serving --output-file`, one JSON object a line and run.

Source: sglang/benchmark/serving.py. Metrics as vLLM's, from which it descends. `server_info` holds the arguments of an
SGLang server, and is null for any other.
"""

from collections.abc import Iterator, Sequence

from engine.calibrate.ingest import vllm
from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import Result

TOOL = "SGLang bench_serving"
WRITES = "SGLang bench_serving JSONL"


def sniff(fields: Fields) -> bool:
    return "request_throughput" in fields and "mean_e2e_latency_ms" in fields and "model_id" not in fields


def version(files: Sequence[Fields]) -> str | None:
    """Of the server it is known, of the benchmark not."""
    return None


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        yield Result(fields.where, _facts(fields), vllm.level(fields, total="total_throughput", e2e="e2e_latency"))


def _facts(fields: Fields) -> Facts:
    if "server_info" not in fields:
        return Facts()
    without_cache = fields.get("server_info.disable_radix_cache")
    dtype = fields.name("server_info.quantization") or fields.name("server_info.dtype")
    return Facts(
        model=model_name(fields.name("server_info.model_path")),
        engine="SGLang",
        engine_version=fields.name("server_info.version"),
        dtype=None if dtype == "auto" else dtype,
        tensor_parallel=fields.count("server_info.tp_size"),
        prefix_cache=not without_cache if isinstance(without_cache, bool) else None,
        speculative="server_info.speculative_algorithm" in fields,
    )
