"""The cost export of Anthropic's console. Here amounts are dollars, unlike in its API."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters
from costadvisor.spend.formats.anthropic_usage_csv import model_id
from costadvisor.spend.formats.cells import Cells, day_of

NAME = "anthropic_cost_csv"
LABEL = "Anthropic console costs (CSV)"
MARKS = ("usage_date_utc", "model", "token_type", "cost_usd")
COLUMNS = (*MARKS, "list_price_usd", "workspace", "api_key", "usage_type", "context_window", "cost_type")
MAPPING = {
    "cost": "cost_usd, in dollars, as billed; list_price_usd is kept beside it",
    "tokens": "not in this file",
}
_CHARGES = {"": "usage", "token": "usage", "tokens": "usage", "web_search": "tool", "code_execution": "tool"}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    day = cells.required(cells.moment("usage_date_utc"), "usage_date_utc")
    cost = cells.money("cost_usd")
    cells.leave_out(~cost.known, "{rows} lines without an amount are left out.")
    kind = cells.name("usage_type")
    charge = meters.charges(cells, cells.text("cost_type"), _CHARGES, "cost_type")
    model = model_id(cells, "model", required=False)
    yield cells.figures(
        period=day_of(day),
        provider="anthropic",
        model=model,
        scope=cells.scope("workspace", "api_key"),
        charge=charge,
        tier=kind,
        batch=kind.str.to_lowercase() == "batch",
        cost=cost,
        list_cost=cells.money("list_price_usd"),
        currency="USD",
        cost_basis="billed",
    )
