"""What the columns of an unknown CSV look like, by their names and first cells, for a person to correct."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from costadvisor.common.money import CURRENCIES
from costadvisor.spend.formats import values
from costadvisor.spend.formats.mapped_csv import ROLES, TIMES, Choices, UnknownTable

_OF_NUMBERS = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost")


def guess(table: UnknownTable) -> Choices:
    """What the columns look like, by their names and first cells."""
    free = list(table.columns)
    columns: dict[str, str] = {}
    for exact in (True, False):
        for role, words in ROLES.items():
            if role not in columns:
                found = next((name for word in words for name in free if _fits(name, word, exact=exact)), None)
                if found is not None and (exact or role not in ("requests", "request_id", "scope")):
                    columns[role] = found
                    free.remove(found)
    time = _time_written(_cells(table, columns["time"])) if "time" in columns else "iso"
    period = "month" if time == "month" else "hour" if "request_id" in columns else "day"
    figures = [_cells(table, columns[role]) for role in _OF_NUMBERS if role in columns]
    return Choices(
        columns,
        time=time,
        period=period,
        currency=_currency_in(columns.get("cost", "")),
        numbers=_numbers_written([cell for cells in figures for cell in cells]),
    )


def _cells(table: UnknownTable, column: str) -> list[str]:
    return [row[table.columns.index(column)] for row in table.rows]


def _currency_in(name: str) -> str:
    """Of a column such as `betrag_(eur)`."""
    return next((code for code in re.findall(r"[A-Z]+", name.upper()) if code in CURRENCIES), "USD")


def _numbers_written(cells: Sequence[str]) -> str:
    """As programs do, where they could be; else with a point or a comma, whichever all cells can be read with."""
    readers: dict[str, Callable[[str], object]] = {
        "plain": lambda cell: values.number("number", cell),
        "point": lambda cell: values.ungrouped("number", cell, "point"),
        "comma": lambda cell: values.ungrouped("number", cell, "comma"),
    }
    for style, read in readers.items():
        try:
            for cell in cells:
                read(cell)
        except values.BadValue:
            continue
        return style
    return "plain"


def _fits(name: str, word: str, *, exact: bool) -> bool:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()  # Währung, entrée
    return plain == word if exact else word in plain


def _time_written(cells: Sequence[str]) -> str:
    for kind, read in TIMES.items():
        try:
            if all(read("time", cell) for cell in cells):
                return kind
        except values.BadValue:
            continue
    return "iso"
