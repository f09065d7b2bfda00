"""DeepSeek's export, `amount-*.csv` in its ZIP: a line a day, model, key and kind of count."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters, values
from costadvisor.spend.formats.cells import Cells, Period, day_of
from costadvisor.spend.formats.values import BadValue

NAME = "deepseek_usage"
LABEL = "DeepSeek export: amount (CSV, ZIP)"
MARKS = ("model", "type", "amount", "price")
_TIMES = ("start_time_iso", "end_time_iso", "utc_date", "start_time", "end_time")
COLUMNS = (*MARKS, *_TIMES, "api_key_name", "wallet_type")
MAPPING = {
    "input, not cached": "amount of type input_cache_miss_tokens",
    "input, cached": "amount of type input_cache_hit_tokens",
    "requests": "amount of type request_count",
}
_KINDS = {
    "request_count": "requests",
    "input_cache_miss_tokens": "input_uncached",
    "input_cache_hit_tokens": "cache_read",
    "output_tokens": "output",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    kind = cells.each(cells.text("type"), "type", _kind)
    counts = cells.required(cells.count("amount"), "amount")
    nothing = cells.same(None, pl.Int64)
    # Requests have lines of their own, and the lines of tokens are none; without such lines they are unknown.
    none_here = counts * 0 if (kind == "requests").any() else nothing
    yield cells.figures(
        period=period_of(cells),
        provider="deepseek",
        model=cells.name("model", required=True),
        scope=cells.scope("api_key_name"),
        requests=counts.zip_with(kind == "requests", none_here.zip_with(kind == "output", nothing)),
        **meters.by_kind(kind, counts),
    )


def period_of(cells: Cells) -> Period:
    if cells.has("utc_date") and not cells.has("start_time_iso"):
        return day_of(cells.required(cells.moment("utc_date"), "utc_date"))
    start = cells.required(cells.moment("start_time_iso"), "start_time_iso")
    end = cells.required(cells.moment("end_time_iso"), "end_time_iso")
    cells.refuse(end <= start, "end_time_iso", "is not after start_time_iso")
    return start, end


def _kind(text: str) -> str:
    if text not in _KINDS:
        raise BadValue("type", f"{values.shown(text)} is no type known here; they are {', '.join(_KINDS)}")
    return _KINDS[text]
