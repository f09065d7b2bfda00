"""OpenRouter activity API, `GET /api/v1/activity`: a record a day, model and endpoint."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells, day_of

NAME = "openrouter_activity"
LABEL = "OpenRouter activity (JSON)"
MARKS = ("date", "model_permaslug", "usage", "requests", "prompt_tokens", "completion_tokens")
COLUMNS = (*MARKS, "model", "endpoint_id", "provider_name", "byok_usage_inference", "reasoning_tokens")
MAPPING = {
    "input": "prompt_tokens; the file does not tell which were cached",
    "cost": "usage, in USD, as billed; spend on your own provider keys is not in it",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    day = cells.required(cells.moment("date"), "date")
    cost = cells.money("usage")
    cells.refuse(~cost.known, "usage", "is empty; every record has it")
    yield cells.figures(
        period=day_of(day),
        provider="openrouter",
        model=cells.name("model_permaslug", "model", required=True),
        scope=cells.scope("provider_name", "endpoint_id"),
        requests=cells.required(cells.count("requests"), "requests"),
        input_uncached=cells.required(cells.count("prompt_tokens"), "prompt_tokens"),
        output=cells.required(cells.count("completion_tokens"), "completion_tokens"),
        reasoning=cells.count("reasoning_tokens"),
        cost=cost,
        currency="USD",
        cost_basis="billed",
    )
