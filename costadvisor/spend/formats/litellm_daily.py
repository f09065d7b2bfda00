"""LiteLLM's `LiteLLM_DailyUserSpend` and its siblings by team and tag. `prompt_tokens` includes cached ones."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, day_of
from costadvisor.spend.formats.litellm_log import provider_of

NAME = "litellm_daily"
LABEL = "LiteLLM daily spend (CSV, JSON, Parquet)"
MARKS = ("date", "model", "custom_llm_provider", "prompt_tokens", "completion_tokens", "spend", "api_requests")
COLUMNS = (
    *MARKS, "api_key", "team_id", "tag", "model_group", "cache_read_input_tokens", "cache_creation_input_tokens",
)  # fmt: skip
MAPPING = {
    "input, not cached": "prompt_tokens − cache_read_input_tokens − cache_creation_input_tokens",
    "cost": "spend in USD, which LiteLLM reckons from list prices: an estimate, no bill",
    "requests": "api_requests, failed ones among them",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    day = cells.required(cells.moment("date"), "date")
    total = cells.required(cells.count("prompt_tokens"), "prompt_tokens")
    cached, written = cells.count("cache_read_input_tokens"), cells.count("cache_creation_input_tokens")
    parts = cached.fill_null(0) + written.fill_null(0)
    cells.refuse(parts > total, "cache_read_input_tokens", "is more than prompt_tokens, which includes the cached ones")
    yield cells.figures(
        period=day_of(day),
        provider=provider_of(cells),
        model=cells.name("model", "model_group", required=True),
        scope=cells.scope("team_id", "tag", "api_key"),
        requests=cells.required(cells.count("api_requests"), "api_requests"),
        input_uncached=total - parts,
        cache_read=cached,
        cache_write_5m=written,
        output=cells.required(cells.count("completion_tokens"), "completion_tokens"),
        cost=cells.money("spend"),
        currency="USD",
        cost_basis="estimated",
    )
