"""Anthropic Cost API, `GET /v1/organizations/cost_report`. Amounts are cents, written as decimal strings."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters, values
from costadvisor.spend.formats.cells import Cells

NAME = "anthropic_cost"
LABEL = "Anthropic Cost API (JSON)"
MARKS = ("starting_at", "ending_at", "amount", "currency")
COLUMNS = (*MARKS, "cost_type", "description", "model", "service_tier", "token_type", "workspace_id")
MAPPING = {
    "cost": "amount ÷ 100: the API writes cents",
    "tokens": "not in this file",
    "priority tier": "not in this file: Anthropic bills it apart",
}
_CHARGES = {
    "tokens": "usage",
    "token": "usage",
    "": "usage",
    "web_search": "tool",
    "code_execution": "tool",
    "session_usage": "tool",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    start = cells.required(cells.moment("starting_at"), "starting_at")
    end = cells.required(cells.moment("ending_at"), "ending_at")
    cells.refuse(end <= start, "ending_at", "is not after starting_at")
    cost = cells.money("amount", read=values.cents)
    cells.refuse(~cost.known, "amount", "is not there; every result of the Cost API has it")
    currency = cells.currency("currency")
    cells.refuse(currency == "", "currency", "an amount needs its currency, such as USD")
    tier = cells.name("service_tier")
    yield cells.figures(
        period=(start, end),
        provider="anthropic",
        model=cells.name("model"),
        scope=cells.scope("workspace_id"),
        charge=meters.charges(cells, cells.text("cost_type"), _CHARGES, "cost_type"),
        tier=tier,
        batch=tier == "batch",
        cost=cost,
        currency=currency,
        cost_basis="billed",
    )
