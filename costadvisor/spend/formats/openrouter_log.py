"""OpenRouter's generation export: a row a request. `tokens_prompt` includes cached, `tokens_completion` reasoning."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, hour_of

NAME = "openrouter_log"
LABEL = "OpenRouter generations (CSV)"
MARKS = ("generation_id", "created_at", "cost_total", "tokens_prompt", "tokens_completion", "model_permaslug")
COLUMNS = (
    *MARKS, "tokens_reasoning", "tokens_cached", "provider_name", "variant", "generation_time_ms",
    "time_to_first_token_ms", "byok_usage_inference",
)  # fmt: skip
MAPPING = {
    "input, not cached": "tokens_prompt − tokens_cached",
    "cost": "cost_total, what OpenRouter charged in USD; spend on your own provider keys is not in it",
    "request": "generation_id at created_at",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    arrival = cells.required(cells.moment("created_at"), "created_at")
    total, cached = cells.required(cells.count("tokens_prompt"), "tokens_prompt"), cells.count("tokens_cached")
    cells.refuse(cached > total, "tokens_cached", "is more than tokens_prompt, which includes the cached ones")
    output = cells.required(cells.count("tokens_completion"), "tokens_completion")
    own_key = cells.money("byok_usage_inference")
    if (own_key.limbs.to_series(0) > 0).any() or (own_key.limbs.to_series(1) > 0).any():
        cells.notices["Some requests ran on your own provider keys; their provider bills them, not OpenRouter."] = 0
    yield cells.figures(
        period=hour_of(arrival),
        provider="openrouter",
        model=cells.name("model_permaslug", required=True),
        scope=cells.scope("provider_name"),
        tier=cells.name("variant"),
        requests=1,
        input_uncached=total - cached.fill_null(0),
        cache_read=cached,
        output=output,
        reasoning=cells.count("tokens_reasoning"),
        cost=cells.money("cost_total"),
        currency="USD",
        cost_basis="billed",
        request_id=cells.identities("generation_id"),
        arrival=arrival,
        ttft_ms=cells.milliseconds("time_to_first_token_ms"),
        total_ms=cells.milliseconds("generation_time_ms"),
    )
