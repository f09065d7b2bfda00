"""Our own template: one line a month, provider and model. `input_tokens` includes the cached ones."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from costadvisor.spend.formats.row import Parsed, Problem, UsageRow
from costadvisor.spend.formats.values import BadValue, count, currency, money, month, name

NAME = "template_csv"
LABEL = "costadvisor template (CSV)"
COLUMNS = (
    "month", "provider", "model", "requests",
    "input_tokens", "cached_input_tokens", "output_tokens", "cost", "currency",
)  # fmt: skip
_DELIMITERS = ",;\t"


def sniff(header: str) -> float:
    """Share of the template's columns that the first line of `header` names, 0 to 1."""
    first_line = header.lstrip("\ufeff").partition("\n")[0]
    return max(len(_known_columns(first_line, delimiter)) for delimiter in _DELIMITERS) / len(COLUMNS)


def parse(stream: BinaryIO) -> Parsed:
    """Rows of the file; a bad line becomes a problem and the others are kept."""
    try:
        text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Parsed((), (Problem(f"byte {error.start}", "file", "is not UTF-8; save it as “CSV UTF-8”"),))
    first_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=lambda mark: len(_known_columns(first_line, mark)))
    problems: list[Problem] = []
    records = _records(text, delimiter, problems)
    header = [cell.lower() for cell in next(records, (1, []))[1]]
    problems += _header_problems(header)
    placed = [] if problems else list(_rows(header, records, problems))
    ignored = [column for column in header if column not in COLUMNS]
    notices = (f"Columns not used: {', '.join(ignored)}.",) if ignored else ()
    rows = tuple(row for _, row in placed)
    return Parsed(rows, tuple(problems), notices, tuple(f"line {line}" for line, _ in placed))


def _records(text: str, delimiter: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of the line it starts on; where the quoting breaks off, one problem and the end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(Problem(f"line {line}", "line", f"cannot be read as CSV from here on ({error})"))


def _rows(
    header: list[str], records: Iterator[tuple[int, list[str]]], problems: list[Problem]
) -> Iterator[tuple[int, UsageRow]]:
    """Each row with the number of its line."""
    for line, cells in records:
        if not any(cells):
            continue
        try:
            yield line, _row(header, cells)
        except BadValue as error:
            problems.append(Problem(f"line {line}", error.field, str(error)))


def _row(header: list[str], cells: list[str]) -> UsageRow:
    if len(cells) != len(header):
        raise BadValue("line", f"has {len(cells)} cells where the header has {len(header)}; check its separators")
    cell = dict.fromkeys(COLUMNS, "") | dict(zip(header, cells, strict=True))
    start, end = month("month", cell["month"])
    row = UsageRow(
        period_start=start,
        period_end=end,
        source=NAME,
        provider=name("provider", cell["provider"], required=True).lower(),
        model=name("model", cell["model"], required=False),
        requests=count("requests", cell["requests"]),
        output=count("output_tokens", cell["output_tokens"]),
        cost=money("cost", cell["cost"]),
    )
    return _with_cost(_with_input(row, cell), cell)


def _with_input(row: UsageRow, cell: dict[str, str]) -> UsageRow:
    total = count("input_tokens", cell["input_tokens"])
    cached = count("cached_input_tokens", cell["cached_input_tokens"])
    if cached is not None and (total is None or cached > total):
        raise BadValue("cached_input_tokens", "is more than input_tokens, which must include the cached ones")
    return replace(row, input_uncached=None if total is None else total - (cached or 0), cache_read=cached)


def _with_cost(row: UsageRow, cell: dict[str, str]) -> UsageRow:
    if row.cost is not None:
        return replace(row, currency=currency("currency", cell["currency"]), cost_basis="billed")
    if not row.has_tokens:
        raise BadValue("cost", "is empty and so are the tokens; give at least one of them")
    return row


def _known_columns(line: str, delimiter: str) -> set[str]:
    return {cell.strip().strip('"').lower() for cell in line.split(delimiter)} & set(COLUMNS)


def _header_problems(header: list[str]) -> tuple[Problem, ...]:
    missing = [column for column in ("month", "provider") if column not in header]
    doubled = sorted({column for column in header if header.count(column) > 1 and column in COLUMNS})
    right = f"the first line must be {','.join(COLUMNS)}"
    return tuple(
        [Problem("line 1", column, f"column is missing; {right}") for column in missing]
        + [Problem("line 1", column, f"column is there twice; {right}") for column in doubled]
    )
