"""OpenAI Costs API, `GET /v1/organization/costs`: days of money, grouped by project and line item or not at all."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.openai_lines import line_items

NAME = "openai_costs"
LABEL = "OpenAI Costs API (JSON)"
MARKS = ("start_time", "end_time", "amount_value", "amount_currency")
COLUMNS = (*MARKS, "line_item", "project_id", "api_key_id")
MAPPING = {
    "cost": "amount.value, as billed",
    "model": "line_item before its comma; none where costs are not grouped by it",
    "tokens": "not in this file",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    start = cells.required(cells.moment("start_time", read=values.unix_moment), "start_time")
    end = cells.required(cells.moment("end_time", read=values.unix_moment), "end_time")
    cells.refuse(end <= start, "end_time", "is not after start_time")
    cost = cells.money("amount_value")
    cells.refuse(~cost.known, "amount.value", "is not there; every result of the Costs API has it")
    model, charge, _ = line_items(cells)
    if (cells.text("line_item") == "").any():
        cells.notices["Some costs name no line item. Ask with group_by=line_item to see them by model."] = 0
    yield cells.figures(
        period=(start, end),
        provider="openai",
        model=model,
        scope=cells.scope("project_id", "api_key_id"),
        charge=charge,
        cost=cost,
        currency=_currency(cells),
        cost_basis="billed",
    )


def _currency(cells: Cells) -> pl.Series:
    text = cells.text("amount_currency")
    return cells.each(text, "amount.currency", lambda one: values.currency("amount.currency", one))
