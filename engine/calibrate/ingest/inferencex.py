"""InferenceX (InferenceMAX): rows of `hw`, `tp`, `conc` and throughput a GPU; seconds, closed loop.

Source: InferenceX utils/process_result.py. Throughput a GPU is over tp × pp × pcp GPUs. A row counts neither requests
nor seconds, so those stay unknown.
"""

import re
from collections.abc import Iterator, Sequence

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import Load, Result, ToolLevel, latency_by_stem
from engine.errors import InputError

TOOL = "InferenceX"
WRITES = "InferenceX rows"


def sniff(fields: Fields) -> bool:
    return "hw" in fields and "conc" in fields and "tput_per_gpu" in fields


def version(files: Sequence[Fields]) -> str | None:
    return None


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        if fields.get("disagg") is True or fields.get("is_multinode") is True:
            raise InputError(f"{fields.where}: prefill and decode run apart, which is no single replica; leave it out")
        gpus = _gpus(fields)
        yield Result(fields.where, _facts(fields, gpus), _level(fields, gpus))


def _gpus(fields: Fields) -> int:
    return int(fields.needed("tp")) * (fields.count("pp") or 1) * (fields.count("pcp_size") or 1)


def _facts(fields: Fields, gpus: int) -> Facts:
    drafts = fields.name("spec_decoding")
    hardware = fields.name("hw") or ""
    return Facts(
        model=model_name(fields.name("model")),
        gpu=re.split(r"[-_]", hardware)[0].upper() or None,
        gpus=gpus,
        engine=fields.name("framework"),
        engine_version=_tag(fields.name("image")),
        dtype=fields.name("precision"),
        tensor_parallel=fields.count("tp"),
        speculative=None if drafts is None else drafts.lower() != "none",
    )


def _tag(image: str | None) -> str | None:
    """`v0.21.0` of `vllm/vllm-openai-rocm:v0.21.0`."""
    _, colon, tag = (image or "").rpartition(":")
    return tag if colon and "/" not in tag else None


def _level(fields: Fields, gpus: int) -> ToolLevel:
    output_tokens_per_s = fields.needed("output_tput_per_gpu") * gpus
    asked_output = fields.needed("osl")
    return ToolLevel(
        load=Load("closed", concurrency=int(fields.needed("conc"))),
        requests_per_s=output_tokens_per_s / asked_output,
        output_tokens_per_s=output_tokens_per_s,
        total_tokens_per_s=fields.needed("tput_per_gpu") * gpus,
        mean_input_tokens=fields.needed("isl"),
        mean_output_tokens=asked_output,
        ttft=latency_by_stem(fields, "ttft", None, unit="", scale=1000),
        tpot=latency_by_stem(fields, "tpot", None, unit="", scale=1000),
        itl_gap=latency_by_stem(fields, "itl", None, unit="", scale=1000),
        e2e=latency_by_stem(fields, "e2el", None, unit="", scale=1000),
    )
