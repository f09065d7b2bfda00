"""Helicone's request export: a row a request. Bodies, users and properties are not read."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, hour_of

NAME = "helicone"
LABEL = "Helicone requests (CSV, JSON lines)"
MARKS = ("request_id", "request_created_at", "request_model", "prompt_tokens", "completion_tokens")
COLUMNS = (
    *MARKS, "response_created_at", "response_status", "provider", "delay_ms", "time_to_first_token", "total_tokens",
    "costusd", "cost_usd", "prompt_cache_read_tokens", "prompt_cache_write_tokens",
)  # fmt: skip
MAPPING = {
    "input": "prompt_tokens",
    "cost": "costUSD, which Helicone reckons from list prices: an estimate, no bill",
    "request": "request_id at request_created_at; failed ones count as requests",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    arrival = cells.required(cells.moment("request_created_at"), "request_created_at")
    total, output = cells.count("prompt_tokens"), cells.count("completion_tokens")
    said = cells.count("total_tokens")
    cells.refuse(
        (said != 0) & (said != total + output), "total_tokens", "is not prompt_tokens and completion_tokens together"
    )
    provider = cells.name("provider").str.to_lowercase()
    yield cells.figures(
        period=hour_of(arrival),
        provider=provider.zip_with(provider != "", cells.same("helicone")),
        model=cells.name("request_model"),
        requests=1,
        input_uncached=total,
        cache_read=cells.count("prompt_cache_read_tokens"),
        cache_write_5m=cells.count("prompt_cache_write_tokens"),
        output=output.fill_null(0),
        cost=cells.money("costusd", "cost_usd"),
        currency="USD",
        cost_basis="estimated",
        request_id=cells.identities("request_id"),
        arrival=arrival,
        ttft_ms=cells.milliseconds("time_to_first_token"),
        total_ms=cells.milliseconds("delay_ms"),
    )
