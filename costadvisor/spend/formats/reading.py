"""A whole file read by the formats it is in: rows summed by bucket, requests handed on, problems by place."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from costadvisor.spend.formats.cells import MOST_PROBLEMS, Cells
from costadvisor.spend.formats.figures import COUNTS, KEYS, NOTHING, REQUEST, SCHEMA, SUMMED, bucket_sums, usage_rows
from costadvisor.spend.formats.opening import Limits, Progress, Table, TooLarge, Unreadable, members, placed, table_of
from costadvisor.spend.formats.row import Problem, UsageRow
from costadvisor.spend.formats.sniffing import Format, best_format

FIRST_ROWS = 10
MOST_UNITS, MOST_TOKENS = 4_000_000_000, 10**17
_MOST_NAMED = 20
_REQUEST_COLUMNS = (*KEYS, *SUMMED, *REQUEST)
Sink = Callable[[pl.DataFrame], None]
Ids = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a file says: its rows summed by bucket, parts that cannot be used, and notices that a reader should know.

    `buckets` and `first` (the file's own first rows as understood) have the columns of `figures.SCHEMA` and `source`.
    `problems` are the first of `problem_count`. A log with a row a request has the number of them in `requests`;
    each was handed to the caller's sink.
    """

    format_name: str
    buckets: pl.DataFrame
    first: pl.DataFrame
    row_count: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    notices: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    requests: int | None = None

    @property
    def rows(self) -> tuple[UsageRow, ...]:
        return tuple(usage_rows(self.buckets))

    @property
    def first_rows(self) -> tuple[UsageRow, ...]:
        return tuple(usage_rows(self.first))


class _Seen:
    """Ids of requests met so far, in sorted runs of which each is at least twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[Ids] = []

    def has(self, ids: Ids) -> npt.NDArray[np.bool_]:
        known = np.zeros(len(ids), np.bool_)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ids), len(run) - 1)
            known |= run[at] == ids
        return known

    def add(self, ids: Ids) -> None:
        if len(ids):
            self._runs.append(np.sort(ids))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # merges the two, in place
            self._runs.append(merged)


@dataclass
class _Collector:
    """What has been read so far, in bounded memory: sums by bucket, ids of requests as numbers, the first problems."""

    today: date
    limits: Limits
    sink: Sink
    sums: list[pl.DataFrame] = field(default_factory=list)
    source: str = ""
    row_count: int = 0
    first: list[pl.DataFrame] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    notices: dict[str, int] = field(default_factory=dict)
    seen: _Seen = field(default_factory=_Seen)
    requests: int | None = None
    doubled: int = 0

    def problem(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def part(self, form: Format, cells: Cells, frames: list[pl.DataFrame]) -> None:
        early = _refuse_early(cells, frames, self.today)
        if early:
            frames = [frame.filter(~pl.col("at").is_in(early)) for frame in frames]
        problems, count = cells.problems()
        self.problem_count += count
        self.problems += [Problem(*problem) for problem in problems][: MOST_PROBLEMS - len(self.problems)]
        for notice, rows in cells.notices.items():
            self.notices[notice] = self.notices.get(notice, 0) + rows
        for position, frame in enumerate(frames):
            self._add(form, frame, counted=position == 0)
        if self.row_count + self.problem_count > self.limits.rows:
            raise TooLarge(f"The file has more than {self.limits.rows:,} rows (BILL_MAX_ROWS). Export fewer months.")

    def _add(self, form: Format, frame: pl.DataFrame, *, counted: bool) -> None:
        if frame.is_empty():
            return
        frame = frame.drop("at")
        if "request_id" in frame.columns:
            frame = self._new_requests(frame)
        self.row_count += frame.height if counted else 0
        frame = frame.select(list(SCHEMA)).with_columns(source=pl.lit(form.NAME))
        if sum(map(len, self.first)) < FIRST_ROWS:
            self.first.append(frame.head(FIRST_ROWS))
        self.sums.append(bucket_sums([frame]))
        if sum(sums.height for sums in self.sums) > 4 * 50_000:
            self._settle()

    def _new_requests(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Without those that the file had before: an id is one request."""
        height = frame.height
        frame = frame.unique("request_id", keep="first", maintain_order=True)
        ids = frame["request_id"].to_numpy()
        known = self.seen.has(ids)
        frame = frame.filter(pl.Series(values=~known, dtype=pl.Boolean)).select(_REQUEST_COLUMNS)
        self.doubled += height - frame.height
        self.seen.add(ids[~known])
        self.requests = (self.requests or 0) + frame.height
        self.sink(frame)
        return frame

    def _settle(self) -> None:
        self.sums = [bucket_sums(self.sums)]
        if self.sums[0].height > self.limits.buckets:
            raise TooLarge(
                f"The file splits into more than {self.limits.buckets:,} periods, models and keys (BILL_MAX_BUCKETS)."
                " Export fewer months at a time."
            )

    def buckets(self) -> pl.DataFrame:
        if not self.sums:
            return NOTHING
        self._settle()
        self._refuse_beyond_storage(self.sums[0])
        return self.sums[0]

    def _refuse_beyond_storage(self, sums: pl.DataFrame) -> None:
        """The database adds up billionths and tokens as whole numbers of 64 bits."""
        units = sums.group_by("currency").agg(pl.col("cost_0").abs().sum()).filter(pl.col("cost_0") > MOST_UNITS)
        for currency in units["currency"]:
            raise TooLarge(f"The file adds up to more than {MOST_UNITS:,} {currency}; that cannot be stored.")
        if sums.select(pl.max_horizontal(pl.col(*COUNTS).cast(pl.Float64).abs().sum())).item() > MOST_TOKENS:
            raise TooLarge(f"The file adds up to more than {MOST_TOKENS:,} tokens; that cannot be stored.")


def _refuse_early(cells: Cells, frames: Sequence[pl.DataFrame], today: date) -> list[int]:
    """Rows whose period begins after today, in UTC, are problems: nothing was used or paid yet."""
    end = datetime.combine(today + timedelta(days=1), time(), UTC)
    early: list[int] = []
    for frame in frames:
        for at, start in frame.filter(pl.col("period_start") >= end).select("at", "period_start").iter_rows():
            early.append(at)
            where = pl.Series(range(len(cells))) == at if len(early) <= MOST_PROBLEMS else None
            if where is not None:
                cells.refuse(where, "period", f"{start:%Y-%m-%d} lies in the future; today is {today}")
    if len(early) > MOST_PROBLEMS:
        cells.refuse(pl.Series(range(len(cells))).is_in(early), "period", f"lies in the future; today is {today}")
    return early


def read(
    stream: BinaryIO,
    *,
    formats: Mapping[str, Format],
    today: date,
    limits: Limits,
    forced: Format | None = None,
    sink: Sink = lambda _: None,
    progress: Progress = lambda _: None,
) -> Reading | None:
    """What the file says, or None if it is in no format known.

    `forced` reads every table in it in one format. `sink` is handed requests a part at a time, `progress` the share of
    the file's bytes read. Raises TooLarge past a limit, and Unreadable for what is no table at all; whatever else is
    wrong with a file is a problem of it.
    """
    found = _Collector(today, limits, sink)
    forms: dict[str, Format] = {}
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    strangers = 0
    with ExitStack() as stack:
        try:
            for label, inner in stack.enter_context(members(stream, limits)):
                with table_of(label, inner, limits) as table:
                    form = forced or _named(formats, best_format(formats, table.columns))
                    if form is None:
                        strangers += 1
                        continue
                    forms[form.NAME] = form
                    for cells, frames in _understood(form, _parts(table, form, found)):
                        found.part(form, cells, frames)
                        progress(min(1.0, stream.tell() / max(size, 1)))
        except Unreadable as error:
            if not forms and forced is None:
                raise
            found.problem(error.problem)
    if not forms and forced is None:
        return None
    if strangers:
        found.notices["{rows} files in it are of another kind and were not read."] = strangers
    return _reading(found, forms)


def _understood(form: Format, parts: Iterator[Cells]) -> Iterator[tuple[Cells, list[pl.DataFrame]]]:
    """What a format makes of each part, while the next one is already being split: two cores are half as long at it."""
    waiting: tuple[Cells, Future[list[pl.DataFrame]]] | None = None
    broken: Unreadable | None = None
    with ThreadPoolExecutor(1) as pool:
        while True:
            try:
                cells = next(parts)
            except StopIteration:
                break
            except Unreadable as error:
                broken = error
                break
            begun = pool.submit(lambda cells: list(form.rows(cells)), cells)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = cells, begun
        if waiting is not None:
            yield waiting[0], waiting[1].result()
    if broken is not None:
        raise broken


def _named(formats: Mapping[str, Format], name: str | None) -> Format | None:
    return None if name is None else formats[name]


def _parts(table: Table, form: Format, found: _Collector) -> Iterator[Cells]:
    """Nothing where the header lacks or doubles a column that the format needs, which are problems of its line."""
    columns = list(table.columns)
    right = f"the columns must be {', '.join(form.MARKS)}"
    where = placed(table.label, table.header_place)
    missing = [name for name in form.MARKS if name not in columns] if columns else []
    doubled = sorted({name for name in columns if columns.count(name) > 1 and name in form.COLUMNS})
    for name in missing:
        found.problem(Problem(where, name, f"column is missing; {right}"))
    for name in doubled:
        found.problem(Problem(where, name, f"column is there twice; {right}"))
    if missing or doubled:
        return
    unused = [name for name, key in zip(table.header, columns, strict=False) if key not in form.COLUMNS]
    if unused:
        named = ", ".join(name[:60] for name in unused[:_MOST_NAMED])
        more = f" and {len(unused) - _MOST_NAMED} more" if len(unused) > _MOST_NAMED else ""
        found.notices[f"Columns not used: {named}{more}.".replace("{", "(").replace("}", ")")] = 0
    yield from table.parts(form.COLUMNS)
    if getattr(table, "more_pages", False):
        found.notices["The last page says that there are more pages; add them, or the last days are missing."] = 0


def _reading(found: _Collector, forms: Mapping[str, Format]) -> Reading:
    notices = [notice.format(rows=f"{rows:,}") for notice, rows in found.notices.items()]
    if found.doubled:
        notices.append(f"{found.doubled:,} requests are in the file twice and counted once.")
    return Reading(
        format_name=next(iter(forms), ""),
        buckets=found.buckets(),
        first=pl.concat(found.first).head(FIRST_ROWS) if found.first else NOTHING,
        row_count=found.row_count,
        problems=tuple(found.problems),
        problem_count=found.problem_count,
        notices=tuple(notices),
        mapping={figure: said for form in forms.values() for figure, said in form.MAPPING.items()},
        requests=found.requests,
    )
