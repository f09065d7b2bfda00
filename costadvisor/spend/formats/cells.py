"""A part of a file, all text, and the readers that turn its columns into values.

A reader looks at a whole column: cells of the plain shape are converted at once, the others one by one by the reader of
`values`, which also words what is wrong. So a million lines take seconds, and a bad one still gets its own sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.amounts import LIMBS, limb_names, limbs_of
from costadvisor.spend.formats.figures import HOUR, KEYS, MOMENT, MONEY, SCHEMA
from costadvisor.spend.formats.identity import numbers
from costadvisor.spend.formats.limbs import read_plain
from costadvisor.spend.formats.values import BadValue

_ISO = r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z| UTC|[+]00:00|[+]00)?$"
MOST_PROBLEMS = 100
MOST_UNITS = 10**9
Period = tuple[pl.Series, pl.Series]


@dataclass(frozen=True)
class Money:
    """A column of amounts as limbs; null where the cell is empty."""

    limbs: pl.DataFrame

    @property
    def known(self) -> pl.Series:
        return self.limbs.to_series(0).is_not_null()


class Cells:
    """Columns by their normalized name; `place(n)` says where row `n` of this part stands in the file."""

    def __init__(self, frame: pl.DataFrame, place: Callable[[int], str]) -> None:
        self.frame = frame
        self.place = place
        self.bad = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        self.left_out = self.bad
        self.notices: dict[str, int] = {}
        self._problems: dict[int, tuple[str, str]] = {}

    def __len__(self) -> int:
        return self.frame.height

    def same(self, value: Any, dtype: Any = pl.String) -> pl.Series:
        """A column of one value."""
        return pl.repeat(value, len(self), dtype=dtype, eager=True)

    def has(self, *names: str) -> bool:
        return any(name in self.frame.columns for name in names)

    def text(self, *names: str) -> pl.Series:
        """The first of the columns that is there, or for each row the first that is not empty."""
        there = [self.frame[name] for name in names if name in self.frame.columns]
        if not there:
            return self.same("")
        found = there[0]
        for other in there[1:]:
            found = found.zip_with(found != "", other)
        return found

    def inner(self, column: str, *paths: str) -> pl.Series:
        """From a cell that holds JSON, or columns that were such JSON: the first of the dotted paths with a value."""
        found = self.text(*(f"{column}_{path.replace('.', '_')}" for path in paths))
        if not self.has(column):
            return found
        for path in paths:
            inside = self.frame[column].str.json_path_match(f"$.{path}").fill_null("")
            found = found.zip_with(found != "", inside)
        return found

    def count(self, *names: str) -> pl.Series:
        """Whole numbers; null for an empty cell."""
        return self.counts_in(self.text(*names), self.named(*names))

    def counts_in(self, text: pl.Series, field: str) -> pl.Series:
        plain = text.str.contains("^[0-9]{1,15}$")
        return self._filled(text, plain, text.cast(pl.Int64, strict=False), lambda one: values.count(field, one), field)

    def money(self, *names: str, read: Callable[[str, str], Decimal | None] = values.number) -> Money:
        text, field = self.text(*names), self.named(*names)
        limbs, left = read_plain(text)
        if read not in (values.number, values.money):
            left = text != ""
        if left.any():

            def limbs_in(one: str) -> list[int] | None:
                amount = read(field, one)
                return None if amount is None else limbs_of(amount)

            others = self._one_by_one(text, left, limbs_in, pl.List(pl.Int64), field)
            limbs = pl.DataFrame(
                [
                    limbs.to_series(limb).zip_with(~left, others.list.get(limb, null_on_oob=True))
                    for limb in range(LIMBS)
                ]
            )
        # None of this size was ever billed in one row, and the database could not hold it.
        self.refuse(limbs.to_series(0).abs() >= MOST_UNITS, field, "is too large an amount; the most is 999999999")
        return Money(limbs)

    def moment(self, *names: str, read: Callable[[str, str], datetime | None] = values.moment) -> pl.Series:
        """Times in UTC; null for an empty cell."""
        text, field = self.text(*names), self.named(*names)
        if read is values.unix_moment:
            plain = text.str.contains("^[0-9]{10}$")
            seconds = text.cast(pl.Int64, strict=False)
            plain &= seconds.is_between(values.EARLIEST, values.LATEST).fill_null(False)
            quick = (seconds * 1_000_000).cast(MOMENT)
        else:
            shape = pl.when(pl.col("t").str.contains(_ISO)).then(
                pl.col("t").str.slice(0, 10) + " " + pl.col("t").str.extract(r"[T ]([0-9:]{8}(?:\.[0-9]{1,6})?)")
            )
            quick = (
                pl.DataFrame({"t": text})
                .select(
                    shape.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us").dt.replace_time_zone(
                        "UTC"
                    )
                )
                .to_series()
            )
            plain = quick.is_not_null() & quick.dt.year().is_between(2015, 2099).fill_null(False)
        return self._filled(text, plain, quick, lambda one: read(field, one), field)

    def milliseconds(self, *names: str, unit_ms: float = 1) -> pl.Series:
        """A duration, to the millisecond; null where it is empty or none, for it decides about no money."""
        number = self.text(*names).cast(pl.Float64, strict=False) * unit_ms
        sane = number.is_finite() & (number >= 0) & (number < 10**9)
        return number.zip_with(sane.fill_null(False), self.same(None, pl.Float64)).round().cast(pl.Int64)

    def required(self, column: pl.Series, field: str, reason: str = "is empty") -> pl.Series:
        self.refuse(column.is_null(), field, reason)
        return column

    def name(self, *names: str, required: bool = False) -> pl.Series:
        text, field = self.text(*names), self.named(*names)
        return self.each(text, field, lambda one: values.name(field, one, required=required))

    def flag(self, *names: str) -> pl.Series:
        text, field = self.text(*names), self.named(*names)
        return self._one_by_one(text, text != "", lambda one: values.flag(field, one), pl.Boolean, field)

    def currency(self, *names: str) -> pl.Series:
        text, field = self.text(*names), self.named(*names)
        return self.each(text, field, lambda one: values.currency(field, one) if one else "")

    def scope(self, *names: str) -> pl.Series:
        """What splits a bucket, joined; an e-mail address among it is dropped."""
        there = [self.frame[name] for name in names if name in self.frame.columns]
        if not there:
            return self.same("")
        joined = pl.DataFrame(there).select(pl.concat_str(pl.all(), separator="/")).to_series()
        return self.each(joined, names[0], lambda one: _scope(names[0], one))

    def each(self, text: pl.Series, field: str, read: Callable[[str], str]) -> pl.Series:
        """Every distinct text read once, as another text."""
        return self._one_by_one(text, self.same(True, pl.Boolean), read, pl.String, field).fill_null("")

    def lookup(self, text: pl.Series, read: Callable[[str], Any], field: str, dtype: Any) -> pl.Series:
        """Every distinct text read once; null where the reader gives None or refuses, which is a problem."""
        return self._one_by_one(text, self.same(True, pl.Boolean), read, dtype, field)

    def refuse(self, where: pl.Series, field: str, reason: str) -> None:
        """Makes rows a problem, unless they are left out or have one already."""
        where = where.fill_null(False) & ~self.bad & ~self.left_out
        for row in where.arg_true().head(MOST_PROBLEMS).to_list():
            self._problems.setdefault(row, (field, reason))
        self.bad |= where

    def leave_out(self, where: pl.Series, notice: str) -> None:
        """Rows that are none of ours, or say nothing; `notice` has `{rows}` for their number."""
        where = where.fill_null(False) & ~self.left_out & ~self.bad
        self.left_out |= where
        if where.any():
            self.notices[notice] = self.notices.get(notice, 0) + int(where.sum())

    def problems(self) -> tuple[list[tuple[str, str, str]], int]:
        """The first of them by row, each with its place; and how many rows have one."""
        rows = self.bad & ~self.left_out
        kept = [row for row in sorted(self._problems) if rows[row]][:MOST_PROBLEMS]
        return [(self.place(row), *self._problems[row]) for row in kept], int(rows.sum())

    def figures(self, *, period: Period, keep: pl.Series | None = None, **given: Any) -> pl.DataFrame:
        """The understood rows, as columns of `figures.SCHEMA` and of a request where the format gives them."""
        start, end = period
        columns: dict[str, Any] = {"charge": "usage"} | given | {"period_start": start, "period_end": end}
        for amount in MONEY:
            money = columns.pop(amount, None)
            if money is not None:
                columns |= dict(zip(limb_names(amount), money.limbs.get_columns(), strict=True))
                if amount == "cost":
                    # Without an amount neither its currency nor its basis says anything.
                    for name in ("currency", "cost_basis"):
                        text = self._column(name, columns.get(name), pl.String)
                        columns[name] = text.zip_with(money.known, self.same(""))
        made = [self._column(name, columns.pop(name, None), dtype) for name, dtype in SCHEMA.items()]
        made += [column.alias(name) for name, column in columns.items()]
        made.append(pl.int_range(len(self), eager=True).alias("at"))
        kept = ~(self.bad | self.left_out)
        return pl.DataFrame(made).filter(kept if keep is None else kept & keep.fill_null(False))

    def identities(self, *names: str) -> pl.Series:
        """A number for each request's own id, the same in every file that has it."""
        text, field = self.text(*names), self.named(*names)
        self.refuse(text == "", field, "is empty; every request has its id")
        return pl.Series(values=numbers(text.to_list()), dtype=pl.UInt64)

    def named(self, *names: str) -> str:
        return next((name for name in names if name in self.frame.columns), names[0])

    def _column(self, name: str, given: Any, dtype: Any) -> pl.Series:
        if isinstance(given, pl.Series):
            return given.cast(dtype).alias(name)
        if given is None and name in KEYS and dtype == pl.String:
            given = ""
        return self.same(given, dtype).alias(name)

    def _filled(
        self, text: pl.Series, plain: pl.Series, quick: pl.Series, read: Callable[[str], Any], field: str
    ) -> pl.Series:
        """`quick` where the text is plain; the others read one by one."""
        left = ~plain & (text != "")
        nothing = self.same(None, quick.dtype)
        if not left.any():
            return quick.zip_with(plain, nothing)
        return quick.zip_with(plain, self._one_by_one(text, left, read, quick.dtype, field))

    def _one_by_one(
        self, text: pl.Series, which: pl.Series, read: Callable[[str], Any], dtype: Any, field: str
    ) -> pl.Series:
        """Reads every distinct text among `which` once."""
        found: dict[str, Any] = {}
        wrong: dict[str, BadValue] = {}
        for one in text.filter(which).unique().to_list():
            try:
                found[one] = read(one)
            except BadValue as error:
                wrong[one] = error
        if wrong:
            self._refuse_texts(text, which, wrong)
        if dtype == pl.String and all(one == value for one, value in found.items()) and not wrong and which.all():
            return text
        table = pl.DataFrame(
            {"text": pl.Series(list(found), dtype=pl.String), "value": pl.Series(list(found.values()), dtype=dtype)}
        )
        asked = pl.DataFrame({"text": text.zip_with(which, self.same(None))})
        return asked.join(table, on="text", how="left", maintain_order="left")["value"]

    def _refuse_texts(self, text: pl.Series, which: pl.Series, wrong: Mapping[str, BadValue]) -> None:
        hit = text.is_in(list(wrong)) & which & ~self.bad & ~self.left_out
        for row in hit.arg_true().head(MOST_PROBLEMS).to_list():
            error = wrong[text[row]]
            self._problems.setdefault(row, (error.field, str(error)))
        self.bad |= hit


def hour_of(arrival: pl.Series) -> Period:
    start = arrival.dt.truncate("1h")
    return start, start + HOUR


def day_of(moment: pl.Series) -> Period:
    start = moment.dt.truncate("1d")
    return start, start.dt.offset_by("1d")


def known_first(*columns: pl.Series) -> pl.Series:
    found = columns[0]
    for other in columns[1:]:
        found = found.zip_with(found.is_not_null(), other)
    return found


def _scope(field: str, joined: str) -> str:
    parts = [values.without_e_mail(part).strip() for part in joined.split("/")]
    kept = "/".join(part for part in parts if part not in ("", "…"))
    if len(kept) > 2 * values.MAX_NAME_LENGTH or not kept.isprintable():
        raise BadValue(field, f"is no name; write at most {values.MAX_NAME_LENGTH} printable characters")
    return kept
