"""Langfuse observations, exported as CSV, JSON lines or Parquet. Only generations; `input` and `output` are not read.

Its kinds of token are whatever the sender named: whether `input` includes the cached ones is told by the row's total.
"""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, hour_of, known_first

NAME = "langfuse"
LABEL = "Langfuse observations (CSV, JSON lines, Parquet)"
MARKS = ("id", "type", "start_time")
_INPUT, _OUTPUT, _TOTAL = ("input", "prompt_tokens"), ("output", "completion_tokens"), ("total", "total_tokens")
_CACHED = ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens")
_WRITTEN = ("input_cache_creation", "cache_creation_input_tokens")
_REASONING = ("output_reasoning_tokens", "output_reasoning")
_KEYS = (*_INPUT, *_OUTPUT, *_TOTAL, *_CACHED, *_WRITTEN, *_REASONING)
_USAGE, _COSTS = ("usage_details", "usagedetails"), ("cost_details", "costdetails")
_MODEL = ("provided_model_name", "providedmodelname", "model")
COLUMNS = (
    *MARKS, "starttime", "completion_start_time", "completionstarttime", "end_time", "endtime", *_MODEL, *_USAGE,
    *(f"{usage}_{key}" for usage in _USAGE for key in _KEYS), *(f"{costs}_total" for costs in _COSTS),
    "total_cost", "totalcost", "calculatedtotalcost", "latency", "time_to_first_token", "timetofirsttoken",
)  # fmt: skip
MAPPING = {
    "input, not cached": "usage_details.input, less the cached ones where the row's total says that it includes them",
    "cost": "total_cost in USD, which Langfuse reckons from list prices: an estimate, no bill",
    "request": "id at start_time, of type GENERATION",
}
_SECONDS = 1000.0


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    cells.leave_out(cells.text("type").str.to_uppercase() != "GENERATION", "{rows} observations are no generations.")
    arrival = cells.required(cells.moment("start_time", "starttime"), "start_time")
    end, first = cells.moment("end_time", "endtime"), cells.moment("completion_start_time", "completionstarttime")
    given, output = _count(cells, _INPUT), _count(cells, _OUTPUT)
    cells.leave_out(given.is_null() & output.is_null(), "{rows} generations without tokens are left out.")
    cached, written, total = _count(cells, _CACHED), _count(cells, _WRITTEN), _count(cells, _TOTAL)
    parts = cached.fill_null(0) + written.fill_null(0)
    whole = given.fill_null(0) + output.fill_null(0)
    inside = (parts > 0) & (total == whole)
    cells.refuse(
        (total > 0) & (total != whole) & (total != whole + parts),
        "usage_details",
        "its total is not the sum of its parts",
    )
    cells.refuse(inside & (parts > given), "usage_details", "has more cached tokens than input, which includes them")
    yield cells.figures(
        period=hour_of(arrival),
        provider="langfuse",
        model=cells.name(*_MODEL),
        requests=1,
        input_uncached=given - parts.zip_with(inside.fill_null(False), parts * 0),
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=_count(cells, _REASONING),
        cost=cells.money("total_cost", "totalcost", "calculatedtotalcost", *(f"{costs}_total" for costs in _COSTS)),
        currency="USD",
        cost_basis="estimated",
        request_id=cells.identities("id"),
        arrival=arrival,
        ttft_ms=known_first(
            cells.milliseconds("time_to_first_token", "timetofirsttoken", unit_ms=_SECONDS),
            (first - arrival).dt.total_milliseconds(),
        ),
        total_ms=known_first(cells.milliseconds("latency", unit_ms=_SECONDS), (end - arrival).dt.total_milliseconds()),
    )


def _count(cells: Cells, keys: tuple[str, ...]) -> pl.Series:
    usage = next((name for name in _USAGE if cells.has(name, *(f"{name}_{key}" for key in _KEYS))), _USAGE[0])
    return cells.counts_in(cells.inner(usage, *keys), "usage_details")
