"""CSV in blocks of some megabytes, whole records each.

polars splits a block of well-formed records at once. A block with anything odd in it (a record too short or too
long, line breaks inside quotes, a quote left open, bytes that are no UTF-8) is read again with the standard library's
reader, which knows the line of every record.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import polars as pl

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.opening import Unreadable, normalized, placed

BLOCK_BYTES = 8 * 2**20
LONGEST_RECORD_BYTES = 16 * 2**20
MOST_COLUMNS = 1000
_DELIMITERS = ",;\t|"
csv.field_size_limit(LONGEST_RECORD_BYTES)


class CsvTable:
    def __init__(self, label: str, stream: BinaryIO) -> None:
        self.label = label
        self._stream = stream
        self._bytes_read = 0
        self._rest = b""
        header, self._first_line = self._header()
        self._delimiter = max(_DELIMITERS, key=lambda mark: len(_cells(header, mark)))
        self.header_place = "line 1"
        self.header = [cell.strip() for cell in _cells(header, self._delimiter)]
        self.columns = [normalized(cell) for cell in self.header]
        if len(self.columns) > MOST_COLUMNS:
            raise Unreadable(
                self._at(1), "header", f"has {len(self.columns):,} columns; at most {MOST_COLUMNS} are read"
            )

    def parts(self, wanted: Iterable[str]) -> Iterator[Cells]:
        chosen = {name: self.columns.index(name) for name in wanted if name in self.columns}
        line = self._first_line
        for block in self._blocks():
            quick = self._quick(block, chosen)
            if quick is not None:
                first = line
                yield Cells(quick, lambda row, first=first: self._at(first + row))  # type: ignore[misc]
            else:
                yield from self._careful(block, line, chosen)
            line += block.count(b"\n")

    def _at(self, line: int) -> str:
        return placed(self.label, f"line {line}")

    def _header(self) -> tuple[str, int]:
        """The header and the number of the line after it; empty lines and Excel's `sep=;` before it are skipped."""
        line = 0
        while True:
            raw = self._line()
            line += 1
            if not raw:
                return "", line
            try:
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError:
                raise Unreadable(self._at(line), "file", "is not UTF-8; save it as “CSV UTF-8”") from None
            if text.strip() and not text.lower().startswith("sep="):
                return text, line + 1

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            more = self._stream.read(BLOCK_BYTES)
            self._rest += more
            if not more or len(self._rest) > LONGEST_RECORD_BYTES:
                break
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end

    def _blocks(self) -> Iterator[bytes]:
        """Bytes that end where a record does: at a line's end with an even number of quotes before it."""
        rest, self._rest = self._rest, b""
        while more := self._stream.read(BLOCK_BYTES):
            rest += more
            cut = _last_record_end(rest)
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
            elif len(rest) > LONGEST_RECORD_BYTES:
                break
        if rest.strip():
            yield rest

    def _quick(self, block: bytes, chosen: dict[str, int]) -> pl.DataFrame | None:
        """None where the block has to be read with care."""
        width, lines = len(self.columns), block.count(b"\n") + (not block.endswith(b"\n"))
        plain = b'"' not in block
        if width == 1 or (not plain and _has_empty_line(block)):
            return None
        right_marks = block.count(self._delimiter.encode()) == lines * (width - 1)
        if plain and not right_marks:
            return None
        asked = sorted({*chosen.values(), width - 1})
        frame = self._split(block, asked)
        if frame is None or frame.height != lines:
            return None
        if not plain or (frame[str(width - 1)] == "").any():
            # polars fills up a short record with empty cells, and tells a long one only if it reads every column.
            frame = self._split(block, range(width))
            if frame is None or (not plain and (frame[str(width - 1)] == "").any()):
                return None
        return frame.select(pl.col(str(at)).str.strip_chars().alias(name) for name, at in chosen.items())

    def _split(self, block: bytes, asked: Iterable[int]) -> pl.DataFrame | None:
        header = self._delimiter.join(map(str, range(len(self.columns)))).encode() + b"\n"
        try:
            return pl.read_csv(
                io.BytesIO(header + block), separator=self._delimiter, infer_schema=False,
                columns=[str(column) for column in asked], empty_string_is_null=False, truncate_ragged_lines=False,
            )  # fmt: skip
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return None

    def _careful(self, block: bytes, line: int, chosen: dict[str, int]) -> Iterator[Cells]:
        text, broken = _decoded(block)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter, strict=True)
        records: list[list[str]] = []
        lines: list[int] = []
        odd: dict[int, str] = {}
        at, reason = line, ""
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    if len(cells) != len(self.columns):
                        odd[len(records)] = (
                            f"has {len(cells)} cells where the header has {len(self.columns)}; check its separators"
                        )
                        records.append([""] * len(chosen))
                    else:
                        records.append([cells[column].strip() for column in chosen.values()])
                    lines.append(at)
                at = line + reader.line_num
        except csv.Error as error:
            reason = f"cannot be read as CSV from here on ({error})"
        columns = {name: [record[position] for record in records] for position, name in enumerate(chosen)}
        cells_read = Cells(
            pl.DataFrame(columns, schema=dict.fromkeys(chosen, pl.String)), lambda row: self._at(lines[row])
        )
        for row, why in odd.items():
            cells_read.refuse(pl.Series(range(len(records))) == row, "line", why)
        yield cells_read
        if reason:
            raise Unreadable(self._at(at), "line", reason)
        if broken:
            raise Unreadable(self._at(at), "file", "is not UTF-8 from here on; save it as “CSV UTF-8”")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _has_empty_line(block: bytes) -> bool:
    return b"\n\n" in block or b"\n\r\n" in block or block[:1] in (b"\n", b"\r")


def _last_record_end(block: bytes) -> int:
    """Where the last record that surely ends does, or 0."""
    end = block.rfind(b"\n") + 1
    odd = block.count(b'"', 0, end) % 2
    while end and odd:
        before = block.rfind(b"\n", 0, end - 1) + 1
        odd = (odd + block.count(b'"', before, end)) % 2
        end = before
    return end


def _decoded(block: bytes) -> tuple[str, bool]:
    """The text up to the line with the first byte that is no UTF-8, and whether there is one."""
    try:
        return block.decode(), False
    except UnicodeDecodeError as error:
        return block[: block.rfind(b"\n", 0, error.start) + 1].decode(), True
