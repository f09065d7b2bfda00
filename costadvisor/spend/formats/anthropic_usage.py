"""Anthropic Usage API, `GET /v1/organizations/usage_report/messages`. `uncached_input_tokens` excludes cached ones."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells

NAME = "anthropic_usage"
LABEL = "Anthropic Usage API (JSON)"
_WRITES = ("cache_creation_ephemeral_5m_input_tokens", "cache_creation_ephemeral_1h_input_tokens")
MARKS = ("starting_at", "ending_at", "uncached_input_tokens", "output_tokens")
COLUMNS = (
    *MARKS, "cache_read_input_tokens", *_WRITES, "server_tool_use_web_search_requests", "model", "service_tier",
    "workspace_id", "api_key_id",
)  # fmt: skip
MAPPING = {
    "input, not cached": "uncached_input_tokens, which excludes the cached",
    "requests": "not in this file",
    "cost": "not in this file",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    start = cells.required(cells.moment("starting_at"), "starting_at")
    end = cells.required(cells.moment("ending_at"), "ending_at")
    cells.refuse(end <= start, "ending_at", "is not after starting_at")
    uncached = cells.required(cells.count("uncached_input_tokens"), "uncached_input_tokens", "is not there")
    output = cells.required(cells.count("output_tokens"), "output_tokens", "is not there")
    tier = cells.name("service_tier")
    if (cells.text("model") == "").any():
        cells.notices["Some usage names no model. Ask the Usage API with group_by[]=model to see spend by model."] = 0
    yield cells.figures(
        period=(start, end),
        provider="anthropic",
        model=cells.name("model"),
        scope=cells.scope("workspace_id", "api_key_id"),
        input_uncached=uncached,
        cache_read=cells.count("cache_read_input_tokens"),
        cache_write_5m=cells.count(_WRITES[0]),
        cache_write_1h=cells.count(_WRITES[1]),
        output=output,
        tier=tier,
        batch=tier == "batch",
    )
    searches = int(cells.count("server_tool_use_web_search_requests").sum() or 0)
    if searches:
        cells.notices["{rows} web searches are left out: they are no tokens."] = searches
