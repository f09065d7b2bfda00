"""Rows of a catalog file, made into facts; what is wrong is named by file, line and column.

A fact is a dataclass; the type of a field, one of those below, says how the column of its name is read:
`gpus: Whole`. With `Whole | None` an empty column is None, never 0; a plain `str` may be empty.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

Fact = TypeVar("Fact")


class CatalogError(ValueError):
    """A catalog file that can't be used as it is."""


@dataclass(frozen=True)
class Column:
    """`parse` raises ValueError or ArithmeticError for a text that is not what is `needed`."""

    needed: str
    parse: Callable[[str], Any]

    def at_least(self, least: int) -> "Column":
        return Column(f"{self.needed}, {least} or more", lambda text: _bounded(self.parse(text), least))


def choice(*choices: str) -> Column:
    return Column(f"one of {', '.join(choices)}", lambda text: choices[choices.index(text)])


def _bounded(number: Any, least: int) -> Any:
    if not least <= number < float("inf"):
        raise ValueError
    return number


Name = Annotated[str, Column("a value", str)]
Day = Annotated[date, Column("a day such as 2026-11-01", date.fromisoformat)]
Whole = Annotated[int, Column("a whole number", int).at_least(0)]
Count = Annotated[int, Column("a whole number", int).at_least(1)]
Number = Annotated[float, Column("a number", float).at_least(0)]
Money = Annotated[Decimal, Column("a number", Decimal).at_least(0)]


class Row:
    """One line of a file."""

    def __init__(self, file: str, line: int, fields: dict[str, str]) -> None:
        self._file = file
        self._line = line
        self._fields = fields

    def text(self, field: str) -> str:
        """The field's text; may be empty."""
        if field not in self._fields:
            raise CatalogError(f"{self._file}: the column {field} is missing")
        return self._fields[field].strip()

    def fact(self, kind: type[Fact], **known: object) -> Fact:
        """A fact of this kind from the row's fields; those in `known` are not read."""
        hints = get_type_hints(kind, include_extras=True)
        return kind(**known, **{field: self._read(field, hint) for field, hint in hints.items() if field not in known})

    def fail(self, field: str, needed: str) -> CatalogError:
        found = self.text(field)
        said = f"is {found!r}" if found else "is empty"
        return CatalogError(f"{self._file} line {self._line}: {field} {said}; it must be {needed}")

    def _read(self, field: str, hint: Any) -> object:
        text, parts = self.text(field), get_args(hint)
        if hint is str:
            return text
        if NoneType in parts:
            return self._read(field, parts[0]) if text else None
        column: Column = parts[1]
        try:
            if text:
                return column.parse(text)
        except (ValueError, ArithmeticError):
            pass
        raise self.fail(field, column.needed)


def read_rows(path: Path) -> Iterator[Row]:
    """The file's rows, with the line each begins on."""
    try:
        handle = path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise CatalogError(f"{path.name}: {error.strerror or error} ({path.parent})") from None
    with handle:
        reader = csv.DictReader(handle)
        line = 2
        for fields in reader:
            if None in fields or None in fields.values():
                columns = len(reader.fieldnames or ())
                raise CatalogError(f"{path.name} line {line}: the row must have {columns} columns")
            yield Row(path.name, line, fields)
            line = reader.line_num + 1
