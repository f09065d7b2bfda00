"""The usage export of Anthropic's console: 7 to 14 columns over time, a line a day, model, key and kind of use."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, day_of

NAME = "anthropic_usage_csv"
LABEL = "Anthropic console usage (CSV)"
_COUNTS = {
    "input_uncached": "usage_input_tokens_no_cache",
    "cache_write_5m": "usage_input_tokens_cache_write_5m",
    "cache_write_1h": "usage_input_tokens_cache_write_1h",
    "cache_read": "usage_input_tokens_cache_read",
    "output": "usage_output_tokens",
}
MARKS = ("usage_date_utc", "model_version", _COUNTS["input_uncached"], _COUNTS["output"])
COLUMNS = (*MARKS, *_COUNTS.values(), "api_key", "workspace", "usage_type", "context_window", "web_search_count")
MAPPING = {
    "input, not cached": "usage_input_tokens_no_cache, which excludes the cached",
    "requests": "not in this file",
    "cost": "not in this file",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    day = cells.required(cells.moment("usage_date_utc"), "usage_date_utc")
    counts = {figure: cells.count(column) for figure, column in _COUNTS.items()}
    cells.refuse(
        counts["input_uncached"].is_null() & counts["output"].is_null(), MARKS[2], "is empty, as is the output"
    )
    kind = cells.name("usage_type")
    searches = int(cells.count("web_search_count").sum() or 0)
    if searches:
        cells.notices["{rows} web searches are left out: they are no tokens."] = searches
    yield cells.figures(
        period=day_of(day),
        provider="anthropic",
        model=model_id(cells, "model_version"),
        scope=cells.scope("workspace", "api_key"),
        tier=kind,
        batch=kind.str.to_lowercase() == "batch",
        **counts,
    )


def model_id(cells: Cells, column: str, *, required: bool = True) -> pl.Series:
    """Display names, such as Claude Sonnet 4.5, stand beside ids in one export; both as an id."""
    named = cells.name(column, required=required)
    return cells.each(named, column, lambda one: one.lower().replace(" ", "-") if " " in one else one)
