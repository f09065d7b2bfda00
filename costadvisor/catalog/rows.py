"""Rows of a catalog file, parsed field by field; a bad one is named by file, line and field."""

import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

Parsed = TypeVar("Parsed")


class CatalogError(ValueError):
    """A catalog file that can't be used as it is."""


class Row:
    """One line of a file: each method takes a field, checks it and says what would be right."""

    def __init__(self, file: str, line: int, fields: dict[str, str]) -> None:
        self._file = file
        self._line = line
        self._fields = fields

    def text(self, field: str) -> str:
        """The field's text; may be empty."""
        if field not in self._fields:
            raise CatalogError(f"{self._file}: the column {field} is missing")
        return self._fields[field].strip()

    def required(self, field: str) -> str:
        return self._parse(field, str, "a value")

    def choice(self, field: str, choices: Sequence[str]) -> str:
        def chosen(text: str) -> str:
            if text not in choices:
                raise ValueError
            return text

        return self._parse(field, chosen, f"one of {', '.join(choices)}")

    def day(self, field: str) -> date:
        return self._parse(field, date.fromisoformat, "a day such as 2026-11-01")

    def whole(self, field: str) -> int:
        return self._parse(field, _at_least_zero(int), "a whole number, 0 or more")

    def count(self, field: str) -> int:
        number = self.whole(field)
        if number == 0:
            raise self.fail(field, "a whole number, 1 or more")
        return number

    def number(self, field: str) -> float:
        return float(self.money(field))

    def money(self, field: str) -> Decimal:
        return self._parse(field, _at_least_zero(_finite_decimal), "a number, 0 or more")

    def optional(self, field: str, read: Callable[[str], Parsed]) -> Parsed | None:
        """`read(field)`, or None where the field is empty: unknown is never 0."""
        return read(field) if self.text(field) else None

    def fail(self, field: str, needed: str) -> CatalogError:
        found = self.text(field)
        said = f"is {found!r}" if found else "is empty"
        return CatalogError(f"{self._file} line {self._line}: {field} {said}; it must be {needed}")

    def _parse(self, field: str, parse: Callable[[str], Parsed], needed: str) -> Parsed:
        text = self.text(field)
        try:
            if not text:
                raise ValueError
            return parse(text)
        except (ValueError, InvalidOperation):
            raise self.fail(field, needed) from None


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


def _finite_decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return number


Comparable = TypeVar("Comparable", int, Decimal)


def _at_least_zero(parse: Callable[[str], Comparable]) -> Callable[[str], Comparable]:
    def parse_positive(text: str) -> Comparable:
        number = parse(text)
        if number < 0:
            raise ValueError
        return number

    return parse_positive
