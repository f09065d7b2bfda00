"""Parquet, every column turned into text."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import polars as pl

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.opening import Limits, TooLarge, Unreadable, normalized, placed

ROWS_A_PART = 100_000
_BROKEN = "cannot be read as Parquet; write it again"


class ParquetTable:
    def __init__(self, label: str, stream: BinaryIO, limits: Limits) -> None:
        self.label = label
        try:
            self._scan = pl.scan_parquet(stream)
            schema = self._scan.collect_schema()
            self._rows = int(self._scan.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
            raise Unreadable(placed(label, "file"), "file", _BROKEN) from None
        if self._rows > limits.rows:
            raise TooLarge(f"The file has {self._rows:,} rows; at most {limits.rows:,} are read (BILL_MAX_ROWS).")
        self._columns: dict[str, pl.Expr] = {}
        self.header_place = "its columns"
        self.header: list[str] = []
        for name, dtype in schema.items():
            self.header.append(name)
            self._columns |= {key: text.alias(key) for key, text in _leaves(normalized(name), pl.col(name), dtype)}
        self.columns = list(self._columns)

    def parts(self, wanted: Iterable[str]) -> Iterator[Cells]:
        chosen = [self._columns[name] for name in wanted if name in self._columns]
        for start in range(0, self._rows, ROWS_A_PART):
            try:
                frame = self._scan.slice(start, ROWS_A_PART).select(chosen).collect()
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
                raise Unreadable(placed(self.label, f"row {start + 1}"), "file", _BROKEN) from None
            yield Cells(frame, lambda row, start=start: placed(self.label, f"row {start + row + 1}"))  # type: ignore[misc]


def _leaves(key: str, column: pl.Expr, dtype: Any) -> Iterator[tuple[str, pl.Expr]]:
    """A column as text, or the fields of one that holds records, under their joined names."""
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(f"{key}_{normalized(field.name)}", column.struct.field(field.name), field.dtype)
    else:
        yield key, _as_text(column, dtype).fill_null("").str.strip_chars()


def _as_text(column: pl.Expr, dtype: Any) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return (column.dt.convert_time_zone("UTC") if dtype.time_zone else column).dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct) and len(dtype.inner.fields) == 2:
        return _map_as_json(column, *(field.name for field in dtype.inner.fields))
    if isinstance(dtype, pl.List | pl.Array) or dtype in (pl.Binary, pl.Object):
        return pl.lit("")
    return column.cast(pl.String)  # a boolean becomes true or false


def _map_as_json(column: pl.Expr, key: str, value: str) -> pl.Expr:
    """Parquet writes a map, such as `usage_details`, as a list of keys and values."""
    entry = pl.element()
    pair = pl.format('"{}":{}', entry.struct.field(key).cast(pl.String), entry.struct.field(value).cast(pl.String))
    return pl.concat_str(pl.lit("{"), column.list.eval(pair).list.join(","), pl.lit("}"))
