"""Our own template: one line a month, provider and model. `input_tokens` includes the cached ones."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.figures import MOMENT

NAME = "template_csv"
LABEL = "costadvisor template (CSV)"
MARKS = ("month", "provider")
COLUMNS = (
    "month", "provider", "model", "requests",
    "input_tokens", "cached_input_tokens", "output_tokens", "cost", "currency",
)  # fmt: skip
MAPPING = {"input, not cached": "input_tokens − cached_input_tokens", "cost": "cost, as billed"}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    month = cells.text("month")
    start = cells.lookup(month, lambda text: values.month("month", text)[0], "month", MOMENT)
    end = start.dt.offset_by("1mo")
    provider = cells.name("provider", required=True).str.to_lowercase()
    model = cells.name("model")
    total, cached = cells.count("input_tokens"), cells.count("cached_input_tokens")
    output, requests = cells.count("output_tokens"), cells.count("requests")
    cells.refuse(
        cached.is_not_null() & (total.is_null() | (cached > total).fill_null(False)),
        "cached_input_tokens",
        "is more than input_tokens, which must include the cached ones",
    )
    cost = cells.money("cost", read=values.money)
    cells.refuse(
        ~cost.known & total.is_null() & output.is_null(),
        "cost",
        "is empty and so are the tokens; give at least one of them",
    )
    currency = cells.currency("currency")
    cells.refuse(
        cost.known & (currency == ""), "currency", "an amount needs its currency; write an ISO code such as USD or EUR"
    )
    yield cells.figures(
        period=(start, end),
        provider=provider,
        model=model,
        requests=requests,
        input_uncached=total - cached.fill_null(0),
        cache_read=cached,
        output=output,
        cost=cost,
        currency=currency,
        cost_basis="billed",
    )
