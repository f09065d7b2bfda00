"""Traffic as a table by time, as monitoring and published traces give it: ServeGen's files, or one's own. Pure.

    t_seconds,requests_per_second_all_clients                             rates, evenly spaced
    0,212.78
    t_seconds,mean_input_tokens,mean_output_tokens,requests_covered       beside it: lengths, weighted by requests
    0,359.78,301.11,3670710

`t_seconds` counts from a moment that is told beside the file, or is unknown: then there is no hour of the week.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from costadvisor.common.digits import six_digits
from costadvisor.common.refusal import Refusal
from costadvisor.workloads.derive import duration, hourly_shape_from_counts
from costadvisor.workloads.measures import HOUR_S, HOURS_IN_MONTH
from costadvisor.workloads.profile import Figure, measured

RATE_COLUMNS = ("t_seconds", "requests_per_second_all_clients")
TOKEN_COLUMNS = ("t_seconds", "mean_input_tokens", "mean_output_tokens", "requests_covered")
MOST_ROWS = 200_000
LARGEST = 1e12


@dataclass(frozen=True)
class Table:
    """`rows` as `columns` say; `every_s` is the time from one row to the next."""

    file_name: str
    rows: tuple[tuple[float, ...], ...]
    every_s: float

    @property
    def span_s(self) -> float:
        return self.every_s * len(self.rows)

    @property
    def source(self) -> str:
        return f"{self.file_name}: {len(self.rows):,} rows in {duration(self.span_s)}"


def table_read(content: bytes, file_name: str, columns: Sequence[str], field: str) -> Table:
    """Raises Refusal naming the line for other columns, a bad number, or rows that are not evenly spaced in time."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise Refusal(f"{file_name} is no CSV in UTF-8.", field=field) from None
    if not lines or tuple(lines[0]) != tuple(columns):
        raise Refusal(f"{file_name}, line 1: the columns must be {','.join(columns)}.", field=field)
    if len(lines) > MOST_ROWS:
        raise Refusal(f"{file_name} has {len(lines):,} lines; at most {MOST_ROWS:,} are read.", field=field)
    filled = [(number, cells) for number, cells in enumerate(lines[1:], start=2) if any(cells)]
    rows = [_numbers(cells, columns, f"{file_name}, line {number}", field) for number, cells in filled]
    if len(rows) < 2:
        raise Refusal(f"{file_name} needs at least two rows.", field=field)
    every = rows[1][0] - rows[0][0]
    for (number, _), before, row in zip(filled[1:], rows, rows[1:], strict=False):
        if every <= 0 or abs(row[0] - before[0] - every) > 0.01 * every:
            raise Refusal(f"{file_name}, line {number}: t_seconds must grow by the same each row.", field=field)
    return Table(file_name, tuple(rows), every)


def figures_from_series(rates: Table, lengths: Table | None, began_at: datetime | None) -> dict[str, Figure[Any]]:
    """The month's volume at the mean rate, mean lengths weighted by requests, and the week where its hours are known.

    Rows longer than an hour tell no hours.
    """
    mean = math.fsum(row[1] for row in rates.rows) / len(rates.rows)
    if mean <= 0:
        raise Refusal(f"{rates.file_name} has no requests at all.", field="rates")
    month = measured(six_digits(mean * HOURS_IN_MONTH * HOUR_S), f"mean rate × 730 hours, {rates.source}")
    figures: dict[str, Figure[Any]] = {"requests_per_month": month}
    if lengths is not None:
        weights = [row[3] for row in lengths.rows]
        if not sum(weights):
            raise Refusal(f"{lengths.file_name} covers no requests at all.", field="lengths")
        for name, column in (("input_tokens", 1), ("output_tokens", 2)):
            tokens = math.fsum(row[column] * row[3] for row in lengths.rows) / math.fsum(weights)
            figures[name] = measured(six_digits(tokens), lengths.source)
    if began_at is None or rates.every_s > HOUR_S:
        return figures
    counts = [(began_at + timedelta(seconds=row[0]), row[1] * rates.every_s) for row in rates.rows]
    return figures | hourly_shape_from_counts(counts, source=rates.source, bucket=timedelta(seconds=rates.every_s))


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str, field: str) -> tuple[float, ...]:
    if len(cells) != len(columns):
        raise Refusal(f"{where}: {len(cells)} cells where {len(columns)} are due.", field=field)
    return tuple(_number(cell, f"{where}: {column}", field) for cell, column in zip(cells, columns, strict=True))


def _number(cell: str, where: str, field: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LARGEST:
        raise Refusal(f"{where} is {cell[:40]!r}; it must be a number from 0 up.", field=field)
    return value
