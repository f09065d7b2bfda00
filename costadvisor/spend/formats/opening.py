"""From an uploaded file to the tables in it: packed or not, CSV, JSON, NDJSON or Parquet, found out by content.

Nothing is unpacked further than `Limits` allow, whatever an archive says of itself, and nothing is written beside
a temporary file without a name.
"""

import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.row import Problem

HEAD_BYTES = 8192
MOST_MEMBERS = 100


class Unreadable(ValueError):
    """The file, or the rest of it, cannot be read at all; `str()` is a reason with what would be right."""

    def __init__(self, where: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(where, field, reason)


class TooLarge(ValueError):
    """A limit of the installation is passed; `str()` names the limit's setting."""


@dataclass(frozen=True)
class Limits:
    """`unpacked_bytes` of an archive in all, `json_bytes` of one JSON document; `rows` and `buckets` of a file."""

    unpacked_bytes: int = 8 * 2**30
    json_bytes: int = 64 * 2**20
    rows: int = 20_000_000
    buckets: int = 300_000


class Table(Protocol):
    """One table of a file. `columns` are the header's names normalized; `label` is empty or names the member."""

    @property
    def label(self) -> str: ...
    @property
    def header(self) -> Sequence[str]: ...
    @property
    def header_place(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...

    def parts(self, wanted: Iterable[str]) -> Iterator[Cells]:
        """The wanted columns in parts of bounded size. Raises Unreadable where the rest cannot be read."""


def normalized(name: str) -> str:
    """`line_item/UsageType`, `amount.value` and `Start Time` as `line_item_usagetype`, `amount_value`, `start_time`."""
    mapped = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.strip().lower())
    return "_".join(part for part in mapped.split("_") if part)


class Counted(io.RawIOBase):
    """What comes out of an archive, up to the limit all of its members share."""

    def __init__(self, inner: BinaryIO, spent: list[int], limit: int) -> None:
        self._inner, self._spent, self._limit = inner, spent, limit

    def readable(self) -> bool:
        return True

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            data = self._inner.read(len(into))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unreadable("file", "file", f"cannot be unpacked ({error}); pack it again") from None
        self._spent[0] += len(data)
        if self._spent[0] > self._limit:
            raise TooLarge(
                f"Unpacked, the file is larger than {self._limit // 2**20:,} MiB (BILL_MAX_UNPACKED_BYTES)."
                " Export fewer months at a time."
            )
        into[: len(data)] = data
        return len(data)


Progress = Callable[[float], None]


@contextmanager
def members(stream: BinaryIO, limits: Limits) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """The files in it with their names; of a file that is no archive only itself, without a name."""
    start = stream.read(4)
    stream.seek(0)
    spent = [0]
    if start[:2] == b"\x1f\x8b":
        plain = Counted(cast(BinaryIO, gzip.GzipFile(fileobj=stream)), spent, limits.unpacked_bytes)
        yield iter([("", cast(BinaryIO, io.BufferedReader(plain, 2**20)))])
    elif start[:4] == b"PK\x03\x04":
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Unreadable("file", "file", f"cannot be unpacked ({error}); pack it again") from None
        with archive:
            yield _zip_members(archive, spent, limits)
    else:
        yield iter([("", stream)])


def _zip_members(archive: zipfile.ZipFile, spent: list[int], limits: Limits) -> Iterator[tuple[str, BinaryIO]]:
    names = [info for info in archive.infolist() if not info.is_dir() and not _is_litter(info.filename)]
    if len(names) > MOST_MEMBERS:
        raise Unreadable("file", "file", f"has {len(names):,} files in it; at most {MOST_MEMBERS} are read")
    for info in names:
        if info.flag_bits & 1:
            raise Unreadable(info.filename[:80], "file", "is encrypted; unpack it first")
        try:
            inner = archive.open(info)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
            raise Unreadable(info.filename[:80], "file", f"cannot be unpacked ({error}); pack it again") from None
        with inner:
            counted = Counted(cast(BinaryIO, inner), spent, limits.unpacked_bytes)
            yield info.filename.rpartition("/")[2][:80], cast(BinaryIO, io.BufferedReader(counted, 2**20))


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


@contextmanager
def seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream, or a temporary copy of one that comes out of an archive."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        while block := stream.read(2**20):
            copy.write(block)
        copy.seek(0)
        yield cast(BinaryIO, copy)


@contextmanager
def table_of(label: str, stream: BinaryIO, limits: Limits) -> Iterator[Table]:
    """The table in a file that is no archive. Raises Unreadable for one that is none we know how to read."""
    # Here, because these modules take this one's names.
    from costadvisor.spend.formats import csv_text, json_text, parquet

    peeked = stream.peek(HEAD_BYTES)[:HEAD_BYTES] if isinstance(stream, io.BufferedReader) else _peek(stream)
    head = peeked.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:4] == b"PAR1":
        with seekable(stream) as whole:
            yield parquet.ParquetTable(label, whole, limits)
    elif head[:1] in (b"{", b"["):
        yield json_text.table(label, stream, limits)
    elif not head or b"\0" in head:
        raise Unreadable("file", "file", "is neither CSV, JSON nor Parquet, as it is, gzipped or in a ZIP")
    else:
        yield csv_text.CsvTable(label, stream)


def _peek(stream: BinaryIO) -> bytes:
    at = stream.tell()
    head = stream.read(HEAD_BYTES)
    stream.seek(at)
    return head


def placed(label: str, where: str) -> str:
    return f"{label}, {where}" if label else where
