"""JSON: one document, pages of an API in a list or one a line, or a record a line.

Numbers keep the digits they are written with. A page is an object with a list under `data`; where its entries are
buckets of `results`, every result becomes a record with its bucket's own fields.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

import polars as pl

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.opening import Limits, TooLarge, Unreadable, normalized, placed

RECORDS_A_PART = 50_000
_LOOKED_AT = 200
_LISTS = ("data", "observations", "results", "items", "generations")
_BUCKET_TIMES = {"start_time", "starting_at"}
_BROKEN = "is neither JSON nor one JSON object a line; save the answer of the API as it came"

Json = dict[str, Any]
Record = tuple[str, Json | None, str]  # where it stands; its fields, or None and why it has none


class JsonTable:
    def __init__(self, label: str, records: Iterator[Record], pages: "_Pages | None" = None) -> None:
        self.label = label
        self._pages = pages
        self._first = list(islice(records, _LOOKED_AT))
        self._records = records
        self.columns = list(dict.fromkeys(name for _, fields, _ in self._first for name in fields or {}))
        self.header = self.columns
        self.header_place = "its records"

    @property
    def more_pages(self) -> bool:
        """Once all parts are read: whether the last page says that there are more."""
        return self._pages is not None and self._pages.more

    def parts(self, wanted: Iterable[str]) -> Iterator[Cells]:
        names = list(wanted)
        records = chain(self._first, self._records)
        broken: Unreadable | None = None
        while broken is None:
            part: list[Record] = []
            try:
                part.extend(islice(records, RECORDS_A_PART))  # keeps what came before an error
            except Unreadable as error:
                broken = error
            if not part:
                break
            yield _cells(self.label, names, part)
        if broken is not None:
            raise broken


def _cells(label: str, names: list[str], part: list[Record]) -> Cells:
    columns = {name: [_text((fields or {}).get(name)) for _, fields, _ in part] for name in names}
    cells = Cells(
        pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String), height=len(part)),
        lambda row: placed(label, part[row][0]),
    )
    for reason in {why for _, fields, why in part if fields is None}:
        cells.refuse(
            pl.Series([why == reason for _, _, why in part]), reason.partition(" ")[0], reason.partition(" ")[2]
        )
    return cells


def table(label: str, stream: BinaryIO, limits: Limits) -> JsonTable:
    first = stream.readline(limits.json_bytes + 1)
    first_value = _loaded(first)
    if isinstance(first_value, dict):
        second = next((line for line in iter(lambda: stream.readline(limits.json_bytes + 1), b"") if line.strip()), b"")
        if second.strip():
            return _lines(label, first, second, stream, limits)
    elif first_value is None:
        first += stream.read(limits.json_bytes + 1 - len(first))
        if len(first) > limits.json_bytes:
            raise TooLarge(
                f"A JSON document may have at most {limits.json_bytes // 2**20:,} MiB (BILL_MAX_JSON_BYTES)."
                " Write one object a line, or export fewer months at a time."
            )
        first_value = _loaded(first)
    if not isinstance(first_value, dict | list):
        raise Unreadable(placed(label, "file"), "file", _BROKEN)
    pages = first_value if isinstance(first_value, list) else [first_value]
    return _table_of_pages(label, pages)


def _lines(label: str, first: bytes, second: bytes, stream: BinaryIO, limits: Limits) -> JsonTable:
    rest = chain([first, second], iter(lambda: stream.readline(limits.json_bytes + 1), b""))
    if isinstance(_loaded(first), dict) and _list_in(_loaded(first)) is not None:
        return _table_of_pages(label, _page_a_line(rest, label))
    return JsonTable(label, _in_lines(rest))


class _Pages:
    """Pages one after another, remembering whether the last one given says that there are more."""

    def __init__(self, pages: Iterable[Any]) -> None:
        self._inner, self.more = pages, False

    def __iter__(self) -> Iterator[Any]:
        for page in self._inner:
            self.more = isinstance(page, dict) and page.get("has_more") is True
            yield page


def _table_of_pages(label: str, inner: Iterable[Any]) -> JsonTable:
    pages = _Pages(inner)
    return JsonTable(label, _in_pages(pages, label), pages)


def _page_a_line(lines: Iterable[bytes], label: str) -> Iterator[Json]:
    """One page in memory at a time."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            page = _loaded(line)
            if not isinstance(page, dict):
                raise Unreadable(placed(label, f"line {number}"), "line", _BROKEN)
            yield page


def _in_lines(lines: Iterable[bytes]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _loaded(line)
            if isinstance(record, dict):
                yield f"line {number}", _flat(record), ""
            else:
                yield f"line {number}", None, "line is not a JSON object"


def _in_pages(pages: Iterable[Any], label: str) -> Iterator[Record]:
    """Entries are numbered through all pages. Raises Unreadable for a page that is none."""
    number = 0
    for page in pages:
        if not isinstance(page, dict):
            raise Unreadable(placed(label, "file"), "data", "is not there; a page is an object with a list “data”")
        name = _list_in(page)
        if name is None:
            if "data" in page:
                raise Unreadable(placed(label, "file"), "data", "is not a list; a page is an object with a list “data”")
            yield f"record {number + 1}", _flat(page), ""
            number += 1
            continue
        for entry in page[name]:
            yield from _entry(f"{name}[{number}]", entry)
            number += 1


def _list_in(page: Json) -> str | None:
    return next((name for name in _LISTS if isinstance(page.get(name), list)), None)


def _entry(where: str, entry: Any) -> Iterator[Record]:
    no_results = "results is not there; a bucket has a list “results”"
    if not isinstance(entry, dict):
        yield where, None, no_results
    elif isinstance(entry.get("results"), list):
        bucket = {name: value for name, value in entry.items() if name != "results"}
        for position, result in enumerate(entry["results"]):
            inside = f"{where}.results[{position}]"
            if isinstance(result, dict):
                yield inside, _flat(bucket | result), ""
            else:
                yield inside, None, "result is not an object"
    elif "results" in entry or (_BUCKET_TIMES & entry.keys() and len(entry) <= 4):
        yield where, None, no_results
    else:
        yield where, _flat(entry), ""


def _flat(record: Json, prefix: str = "") -> Json:
    """Fields of inner objects under their joined names: `amount.value` as `amount_value`."""
    found: Json = {}
    for name, value in record.items():
        joined = f"{prefix}{normalized(str(name))}"
        if isinstance(value, dict) and prefix.count("_") < 8:
            found |= {inner: held for inner, held in _flat(value, f"{joined}_").items() if inner not in found}
        else:
            found[joined] = value
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)


class _Digits(str):
    """A number as it was written."""


def _loaded(text: bytes) -> Any:
    """None for what is not JSON."""
    try:
        return json.loads(text.decode("utf-8-sig"), parse_float=_Digits, parse_int=_Digits, parse_constant=_Digits)
    except (RecursionError, ValueError):
        return None
