"""The folder of an upload: what was understood of its file, until it is confirmed or discarded.

The file itself is only kept there while it waits to be read: for its columns to be named, or for its turn. Prompts,
answers, e-mail addresses and ids of end users are gone once it is read.
"""

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from django.conf import settings

from costadvisor.spend.formats import Problem, UsageRow
from costadvisor.spend.formats.figures import usage_rows
from costadvisor.spend.formats.reading import Reading
from costadvisor.spend.models import PendingUpload

Keep = Callable[[pl.DataFrame, int], None]
_COPY_BYTES = 2**20


@dataclass(frozen=True)
class Summary:
    """What a reading says beside its rows; kept as JSON with the upload."""

    row_count: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    notices: tuple[str, ...] = ()
    mapping: dict[str, str] = field(default_factory=dict)
    requests: int | None = None

    @classmethod
    def of(cls, reading: Reading) -> "Summary":
        return cls(
            reading.row_count, reading.problems, reading.problem_count, reading.notices, dict(reading.mapping),
            reading.requests,
        )  # fmt: skip

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Summary":
        problems = tuple(Problem(**problem) for problem in values.get("problems", ()))
        return cls(**values | {"problems": problems, "notices": tuple(values.get("notices", ()))})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def folder_make() -> str:
    name = uuid.uuid4().hex
    settings.BILL_UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    (settings.BILL_UPLOADS_DIR / name).mkdir(mode=0o700)
    (settings.BILL_UPLOADS_DIR / name / "requests").mkdir()
    return name


def folder_of(upload: PendingUpload) -> Path:
    return Path(settings.BILL_UPLOADS_DIR / upload.folder)


def file_keep(upload: PendingUpload, stream: BinaryIO) -> None:
    """The stream may be the kept file already."""
    if file_of(upload).exists():
        return
    stream.seek(0)
    with file_of(upload).open("wb") as kept:
        shutil.copyfileobj(stream, kept, _COPY_BYTES)


def file_forget(upload: PendingUpload) -> None:
    file_of(upload).unlink(missing_ok=True)


def file_of(upload: PendingUpload) -> Path:
    return folder_of(upload) / "file"


def sha256_of(source: Path | BinaryIO) -> str:
    """Of a whole file; a stream is left at its start."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return sha256_of(stream)
    source.seek(0)
    digest = hashlib.sha256()
    while block := source.read(_COPY_BYTES):
        digest.update(block)
    source.seek(0)
    return digest.hexdigest()


@dataclass(frozen=True)
class Progress:
    """The share done of reading or storing, and when the process that is at it was last heard of."""

    share: float
    heard_of_at: datetime


def progress_of(upload: PendingUpload) -> Progress:
    """In a file of the folder: what stores an import in one transaction can tell nothing by the database."""
    path = folder_of(upload) / "progress"
    try:
        return Progress(float(path.read_text()), datetime.fromtimestamp(path.stat().st_mtime, UTC))
    except FileNotFoundError:  # not begun
        return Progress(0.0, upload.created_at)


class Teller:
    """Tells the progress of an upload, once a second at most."""

    EVERY_S = 1.0

    def __init__(self, upload: PendingUpload) -> None:
        self._path, self._told_at = folder_of(upload) / "progress", 0.0
        self(0.0)

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._told_at >= self.EVERY_S or not self._told_at:
            self._told_at = now
            being_written = self._path.with_suffix(".new")
            being_written.write_text(f"{share:.4f}")
            being_written.replace(self._path)


class Sink:
    """Takes requests while a file is read, and writes them down a hundred thousand at a time."""

    ROWS = 100_000

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "requests"
        for old in self._folder.glob("*.parquet"):
            old.unlink()
        self._waiting: list[pl.DataFrame] = []
        self._written = 0

    def __call__(self, frame: pl.DataFrame) -> None:
        self._waiting.append(frame)
        if sum(map(len, self._waiting)) >= self.ROWS:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            whole = pl.concat(self._waiting)
            whole.write_parquet(self._folder / f"{self._written:06}.parquet", compression="lz4", statistics=False)
            self._written += 1
            self._waiting = []


def reading_keep(folder: Path, reading: Reading) -> None:
    reading.buckets.write_parquet(folder / "buckets.parquet", compression="lz4")
    reading.first.write_parquet(folder / "first.parquet", compression="lz4")


def rows_read(upload: PendingUpload) -> list[UsageRow]:
    """The upload's rows by bucket; none before it is read."""
    return _rows(folder_of(upload) / "buckets.parquet")


def buckets_read(upload: PendingUpload) -> pl.DataFrame:
    return pl.read_parquet(folder_of(upload) / "buckets.parquet")


def first_rows_read(upload: PendingUpload) -> list[UsageRow]:
    return _rows(folder_of(upload) / "first.parquet")


def requests_read(upload: PendingUpload) -> Iterator[pl.DataFrame]:
    for part in sorted((folder_of(upload) / "requests").glob("*.parquet")):
        yield pl.read_parquet(part)


def folder_remove(upload: PendingUpload) -> None:
    shutil.rmtree(folder_of(upload), ignore_errors=True)


def sweep(older_than_s: float) -> None:
    """Folders that nobody will come back to."""
    if not settings.BILL_UPLOADS_DIR.is_dir():
        return
    for folder in settings.BILL_UPLOADS_DIR.iterdir():
        with suppress(FileNotFoundError):  # another process removed it meanwhile
            if folder.stat().st_mtime < time.time() - older_than_s:
                shutil.rmtree(folder, ignore_errors=True)


def _rows(path: Path) -> list[UsageRow]:
    return list(usage_rows(pl.read_parquet(path))) if path.exists() else []
