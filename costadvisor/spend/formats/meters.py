"""What clouds write into the name of a meter: the model, the kind of token, batch, and the unit of a quantity."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.values import BadValue

_END = r"(?![a-z])"
_KINDS = (
    (
        "cache_write_1h",
        re.compile(rf"cach\w*[ _-]?(?:write|creat)\w*.*\b1[ _-]?h|1[ _-]?h\w*[ _-].*cach\w*[ _-]?(?:write|creat)"),
    ),
    ("cache_write_5m", re.compile(r"cach\w*[ _-]?(?:write|creat)|(?:write|creat)\w*[ _-]cache")),
    ("cache_read", re.compile(r"cach|cchd")),
    ("output", re.compile(rf"out(?:p|pt|put|puts)?{_END}|completion|response|outputtoken")),
    ("input_uncached", re.compile(rf"in(?:p|pt|put|puts){_END}|prompt|inputtoken")),
)
_NOT_TEXT = re.compile(r"image|audio|video|embed|search|grounding|realtime|speech|\baud\b")
_UNIT = re.compile(r"(?:([0-9][0-9,]*)\s*)?(k|m|thousand|million|1k|1m)?\s*(?:tok(?:en)?s?|count|units?)?s?", re.I)
_FACTORS = {"": 1, "k": 1000, "thousand": 1000, "m": 1_000_000, "million": 1_000_000}


@dataclass(frozen=True)
class Meter:
    """`kind` is a column of tokens in `UsageRow`, or empty for what is not text tokens."""

    model: str
    kind: str
    batch: bool | None = None


def token_kind(text: str) -> str:
    """The kind of text token that a meter's name tells, or none."""
    low = text.lower()
    if _NOT_TEXT.search(low):
        return ""
    return next((kind for kind, pattern in _KINDS if pattern.search(low)), "")


def unit_factor(unit: str) -> int | None:
    """Tokens in one unit: 1 for `tokens`, 1000 for `1K Tokens`, a million for `MTok`; None for what counts no tokens."""
    found = _UNIT.fullmatch(unit.strip().replace("MTok", "M tokens").replace("KTok", "K tokens").replace("/", " "))
    if not unit.strip() or not found:
        return None
    return int((found[1] or "1").replace(",", "")) * _FACTORS[(found[2] or "").lower()]


def tokens(cells: Cells, quantity: str, units: pl.Series) -> pl.Series:
    """Whole tokens of a quantity written in units such as `1K tokens`; null where the unit counts no tokens."""

    def scaled(both: str) -> int | None:
        text, _, unit = both.partition("\0")
        factor, number = unit_factor(unit), values.number(quantity, text)
        if factor is None or number is None:
            return None
        whole = round(number * factor)
        if abs(number * factor) >= Decimal(10) ** 15:
            raise BadValue(quantity, f"{values.shown(text)} {unit} are too many tokens for one row")
        return whole

    return cells.lookup(cells.text(quantity) + "\0" + units, scaled, quantity, pl.Int64)


def by_kind(kind: pl.Series, counts: pl.Series) -> dict[str, pl.Series]:
    """A long table's counts, each in the column of its kind."""
    nothing = pl.repeat(None, len(counts), dtype=pl.Int64, eager=True)
    kinds = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    return {name: counts.zip_with((kind == name).fill_null(False), nothing) for name in kinds}


def charges(cells: Cells, text: pl.Series, words: Mapping[str, str], field: str) -> pl.Series:
    """What a row is for, by the provider's word for it; a word that is not known is `other`."""
    return cells.each(text, field, lambda one: words.get(one.lower(), "other"))
