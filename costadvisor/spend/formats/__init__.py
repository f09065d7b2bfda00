"""Bill and usage files, one module a format. Pure: no Django, no clock, no database.

A format has `NAME`, `LABEL`, `sniff(header) -> 0..1` and `parse(stream) -> Parsed`. A new one is a module
and a line here.
"""

import io
from datetime import date
from typing import BinaryIO, Protocol

from costadvisor.spend.formats import openai_usage, template_csv
from costadvisor.spend.formats.row import CostBasis, Parsed, Problem, UsageRow

__all__ = ["FORMATS", "CostBasis", "Format", "Parsed", "Problem", "UsageRow", "detect", "parse"]

HEADER_BYTES = 8192
_SURE_ENOUGH = 0.4


class Format(Protocol):
    NAME: str
    LABEL: str

    def sniff(self, header: str) -> float: ...
    def parse(self, stream: BinaryIO) -> Parsed: ...


FORMATS: dict[str, Format] = {
    template_csv.NAME: template_csv,
    openai_usage.NAME: openai_usage,
}


def detect(content: bytes) -> str | None:
    """Name of the format that fits the beginning of a file best, or None."""
    header = content[:HEADER_BYTES].decode("utf-8-sig", errors="replace")
    scores = {name: form.sniff(header) for name, form in FORMATS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= _SURE_ENOUGH else None


def parse(format_name: str, content: bytes, *, today: date) -> Parsed:
    """A period that begins after `today`, in UTC, is a problem whatever the format: nothing was used or paid yet."""
    return FORMATS[format_name].parse(io.BytesIO(content)).until(today)
