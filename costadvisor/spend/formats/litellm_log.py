"""LiteLLM's `LiteLLM_SpendLogs`: a row a request. Cached tokens stand only in its `metadata`.

`messages`, `response`, `end_user` and `user` are columns of it and are not read.
"""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, hour_of

NAME = "litellm_log"
LABEL = "LiteLLM SpendLogs (CSV, JSON lines, Parquet)"
MARKS = ("request_id", "starttime", "endtime", "spend", "prompt_tokens", "completion_tokens")
_CACHED = (
    "usage_object.prompt_tokens_details.cached_tokens",
    "additional_usage_values.cache_read_input_tokens",
    "usage_object.cache_read_input_tokens",
)
_WRITTEN = ("additional_usage_values.cache_creation_input_tokens", "usage_object.cache_creation_input_tokens")
_REASONING = ("usage_object.completion_tokens_details.reasoning_tokens",)
_INNER = tuple(f"metadata_{path.replace('.', '_')}" for path in (*_CACHED, *_WRITTEN, *_REASONING))
COLUMNS = (
    *MARKS, "call_type", "api_key", "total_tokens", "completionstarttime", "model", "model_group", "metadata",
    "custom_llm_provider", "team_id", "cache_hit", "status", *_INNER,
)  # fmt: skip
MAPPING = {
    "input, not cached": "prompt_tokens − the cached tokens in metadata",
    "cost": "spend in USD, which LiteLLM reckons from list prices: an estimate, no bill",
    "request": "request_id at startTime",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    arrival = cells.required(cells.moment("starttime"), "startTime")
    end = cells.moment("endtime")
    cells.refuse(end < arrival, "endTime", "is before startTime")
    total = cells.required(cells.count("prompt_tokens"), "prompt_tokens")
    output = cells.required(cells.count("completion_tokens"), "completion_tokens")
    said = cells.count("total_tokens")
    cells.refuse(
        (said != 0) & (said != total + output), "total_tokens", "is not prompt_tokens and completion_tokens together"
    )
    cached = cells.counts_in(cells.inner("metadata", *_CACHED), "metadata")
    written = cells.counts_in(cells.inner("metadata", *_WRITTEN), "metadata")
    parts = cached.fill_null(0) + written.fill_null(0)
    cells.refuse(parts > total, "metadata", "has more cached tokens than prompt_tokens, which includes them")
    first = cells.moment("completionstarttime")
    yield cells.figures(
        period=hour_of(arrival),
        provider=provider_of(cells),
        model=cells.name("model", "model_group", required=True),
        scope=cells.scope("team_id", "api_key"),
        requests=1,
        input_uncached=total - parts,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=cells.counts_in(cells.inner("metadata", *_REASONING), "metadata"),
        cost=cells.money("spend"),
        currency="USD",
        cost_basis="estimated",
        request_id=cells.identities("request_id"),
        arrival=arrival,
        ttft_ms=_positive(first - arrival),
        total_ms=_positive(end - arrival),
    )


def provider_of(cells: Cells) -> pl.Series:
    """The provider that is named, else the one before the slash of a model, else LiteLLM itself."""
    named = cells.name("custom_llm_provider")
    model = cells.text("model", "model_group")
    led = model.str.extract("^([a-z_]+)/").fill_null("")
    found = named.zip_with(named != "", led)
    return found.zip_with(found != "", cells.same("litellm"))


def _positive(span: pl.Series) -> pl.Series:
    """Milliseconds; null for nothing or a clock that ran backwards."""
    span_ms = span.dt.total_milliseconds()
    return span_ms.zip_with((span_ms > 0).fill_null(False), pl.repeat(None, len(span), dtype=pl.Int64, eager=True))
