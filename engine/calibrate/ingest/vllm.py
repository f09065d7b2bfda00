"""vLLM: `vllm bench serve --save-result`, one JSON object a run; with `--save-detailed` it lists every request.

Source: vllm/benchmarks/serve.py. TPOT is (latency - ttft) / (output - 1) of each request, TTFT counts from sending.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts, model_name
from engine.calibrate.ingest.tool_level import Latency, Load, Result, ToolLevel, latency_by_stem
from engine.errors import InputError

TOOL = "vLLM bench serve"
WRITES = "vLLM --save-result JSON"


def sniff(fields: Fields) -> bool:
    return "model_id" in fields and "request_throughput" in fields and "total_token_throughput" in fields


def version(files: Sequence[Fields]) -> str | None:
    """The file does not name it."""
    return None


def results(files: Sequence[Fields]) -> Iterator[Result]:
    for fields in files:
        facts = Facts(model=model_name(fields.name("model_id")))
        yield Result(fields.where, facts, level(fields, total="total_token_throughput", e2e="e2el"))


def level(fields: Fields, *, total: str, e2e: str) -> ToolLevel:
    """SGLang's runs have the same fields but for two names."""
    finished = int(fields.needed("completed"))
    rows = _requests(fields, finished)
    ttft, tpot = latency_by_stem(fields, "ttft", finished), latency_by_stem(fields, "tpot", finished)
    gaps = [1000 * gap for gap in chain.from_iterable(_lists(fields, "itls"))] if rows else []
    return ToolLevel(
        load=load(fields),
        requests_per_s=fields.needed("request_throughput"),
        output_tokens_per_s=fields.needed("output_throughput"),
        total_tokens_per_s=fields.number(total),
        mean_input_tokens=fields.needed("total_input_tokens") / finished,
        mean_output_tokens=fields.needed("total_output_tokens") / finished,
        ttft=Latency.of([first for first, _ in rows]) if rows else ttft,
        tpot=Latency.of([each for _, each in rows if each is not None]) if rows else tpot,
        itl_gap=Latency.of(gaps) if gaps else latency_by_stem(fields, "itl", None),
        e2e=latency_by_stem(fields, e2e, finished),
        duration_s=fields.needed("duration"),
        attempted=_attempted(fields, finished),
        finished=finished,
        input_tokens=fields.count("total_input_tokens"),
        output_tokens=fields.count("total_output_tokens"),
        requests=tuple(rows) or None,
        measured_on=_day(fields.name("date")),
    )


def load(fields: Fields) -> Load | None:
    """A rate of "inf", or Infinity, sends as fast as the cap on concurrency lets it, or all at once without one."""
    rate, cap = fields.get("request_rate"), fields.count("max_concurrency") or None
    if rate in ("inf", float("inf")):
        return Load("closed", concurrency=cap)
    if rate is None or rate == "trace":
        return None
    sent, burstiness = fields.needed("request_rate"), fields.needed("burstiness") if "burstiness" in fields else 1.0
    if "ramp_up_strategy" in fields:
        raise InputError(f"{fields.where}: the rate was ramped up; import runs at one rate each")
    if cap is not None:
        return Load("closed", sent, concurrency=cap)
    return Load("open", sent, burstiness)


def _attempted(fields: Fields, finished: int) -> int | None:
    failed = fields.count("failed")
    return fields.count("num_prompts") if failed is None else finished + failed


def _requests(fields: Fields, finished: int) -> list[tuple[float, float | None]]:
    """TTFT and TPOT in milliseconds of each request that finished, where the file lists them."""
    first, gaps = fields.numbers("ttfts"), _lists(fields, "itls")
    lengths, errors = fields.numbers("output_lens"), fields.get("errors")
    if first is None or lengths is None or not len(first) == len(gaps) == len(lengths):
        return []
    failed = errors if isinstance(errors, list) and len(errors) == len(first) else [""] * len(first)
    rows = [
        (1000 * ttft, 1000 * sum(gap) / (length - 1) if length > 1 else None)
        for ttft, gap, length, error in zip(first, gaps, lengths, failed, strict=True)
        if length and not error
    ]
    if len(rows) != finished:
        raise InputError(f"{fields.where}: lists {len(rows)} requests that finished, but completed is {finished}")
    return rows


def _lists(fields: Fields, path: str) -> list[tuple[float, ...]]:
    lists = fields.get(path)
    if not isinstance(lists, list):
        return []
    each = Fields({str(at): one for at, one in enumerate(lists)}, f"{fields.where}, {path}")
    return [each.numbers(at) or () for at in each.raw]


def _day(date: str | None) -> str | None:
    """`20261130-204212` of the machine's own clock; its day is taken as it stands."""
    found = re.match(r"^(\d{4})(\d\d)(\d\d)-\d{6}$", date or "")
    return "-".join(found.groups()) if found else None
