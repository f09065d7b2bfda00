"""CSV that is safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import StringIO

RUNS_AS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text that a spreadsheet would run as a formula is defused; numbers stay numbers, and None an empty cell."""
    page = StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow([_inert(column) for column in columns])
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return page.getvalue()


def _inert(cell: object) -> object:
    """A text may be a number written out, such as -5."""
    if cell is None:
        return ""
    if not isinstance(cell, str) or not cell.startswith(RUNS_AS_FORMULA) or _is_number(cell):
        return cell
    return "'" + cell


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False
