"""What clouds write into the name of a meter: the model, the kind of token, batch, and the unit of a quantity."""

import re
from collections.abc import Mapping
from decimal import Decimal

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.values import BadValue

_END = r"(?![a-z])"
_WRITE = r"cach\w*[ _-]?(?:write|creat)\w*"
_KINDS = (
    ("cache_write_1h", re.compile(rf"{_WRITE}.*\b1[ _-]?h|1[ _-]?h\w*[ _-].*{_WRITE}")),
    ("cache_write_5m", re.compile(rf"{_WRITE}|(?:write|creat)\w*[ _-]cache")),
    ("cache_read", re.compile(r"cach|cchd")),
    ("output", re.compile(rf"out(?:p|pt|put|puts)?{_END}|completion|response|outputtoken")),
    ("input_uncached", re.compile(rf"in(?:p|pt|put|puts){_END}|prompt|inputtoken")),
)
_NOT_TEXT = re.compile(r"image|audio|video|embed|search|grounding|realtime|speech|\baud\b")
_UNIT = re.compile(r"(?:([0-9][0-9,]*)\s*)?(k|m|thousand|million|1k|1m)?\s*(?:tok(?:en)?s?|count|units?)?s?", re.I)
_FACTORS = {"": 1, "k": 1000, "thousand": 1000, "m": 1_000_000, "million": 1_000_000}


def token_kind(text: str) -> str:
    """The kind of text token that a meter's name tells, or none."""
    low = text.lower()
    if _NOT_TEXT.search(low):
        return ""
    return next((kind for kind, pattern in _KINDS if pattern.search(low)), "")


def unit_factor(unit: str) -> int | None:
    """Tokens in one unit: 1 for `tokens`, 1000 for `1K Tokens`, 10⁶ for `MTok`; None for what counts no tokens."""
    spelled = unit.strip().replace("MTok", "M tokens").replace("KTok", "K tokens").replace("/", " ")
    found = _UNIT.fullmatch(spelled)
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
