"""The formats that are read. A new one is a module with TOOL, WRITES, sniff, version and results, and a line here."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from engine.calibrate.ingest import aiperf, aiperf_requests, genai_bench, guidellm, inferencex, sglang, vllm
from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.tool_level import Result
from engine.errors import InputError


class Format(Protocol):
    """TOOL made the file; WRITES is how people call it."""

    TOOL: str
    WRITES: str

    def sniff(self, fields: Fields) -> bool: ...

    def version(self, files: Sequence[Fields]) -> str | None: ...

    def results(self, files: Sequence[Fields]) -> Iterator[Result]: ...


FORMATS: tuple[Format, ...] = (vllm, sglang, aiperf, aiperf_requests, guidellm, inferencex, genai_bench)


def format_of(files: Sequence[Fields]) -> Format:
    """The one format of all objects. Raises InputError where there is none, or more than one."""
    found = {_format_of(fields).WRITES: _format_of(fields) for fields in files}
    if len(found) > 1:
        raise InputError(f"the files are of several kinds ({', '.join(sorted(found))}); import one kind at a time")
    return next(iter(found.values()))


def _format_of(fields: Fields) -> Format:
    for each in FORMATS:
        if each.sniff(fields):
            return each
    if any("inter_token_latency_s" in str(key) for key in fields.raw):
        raise InputError(
            f"{fields.where}: is LLMPerf's, whose inter-token latency includes the time to the first token and so is "
            "no TPOT; benchmark with another tool"
        )
    known = ", ".join(each.WRITES for each in FORMATS)
    raise InputError(f"{fields.where}: is no result file that is known; give one of {known}")
