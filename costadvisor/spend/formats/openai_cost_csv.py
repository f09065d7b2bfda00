"""The cost export of OpenAI's dashboard: a line a day, project and line item, amounts with up to 30 decimals.

Users' ids and e-mail addresses are columns of it and are not read.
"""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters, values
from costadvisor.spend.formats.cells import Cells, known_first
from costadvisor.spend.formats.openai_lines import line_items

NAME = "openai_cost_csv"
LABEL = "OpenAI dashboard costs (CSV)"
MARKS = ("start_time_iso", "end_time_iso", "amount_value", "amount_currency", "line_item")
COLUMNS = (
    *MARKS, "start_time", "end_time", "quantity", "quantity_unit", "api_key_id", "project_id", "organization_id",
)  # fmt: skip
MAPPING = {
    "cost": "amount_value, as billed",
    "tokens": "quantity, where quantity_unit counts tokens, by the kind that line_item names",
    "model": "line_item before its comma",
}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    start, end = _moment(cells, "start_time"), _moment(cells, "end_time")
    cells.refuse(end <= start, "end_time", "is not after start_time")
    cost = cells.money("amount_value")
    model, charge, kind = line_items(cells)
    counts = meters.tokens(cells, "quantity", cells.text("quantity_unit"))
    cells.refuse(counts < 0, "quantity", "is negative; tokens are counted from 0")
    currency = cells.currency("amount_currency")
    cells.refuse(cost.known & (currency == ""), "amount_currency", "an amount needs its currency, such as usd")
    cells.leave_out(~cost.known & (counts.is_null() | (kind == "")), "{rows} lines without an amount are left out.")
    yield cells.figures(
        period=(start, end),
        provider="openai",
        model=model,
        scope=cells.scope("project_id", "api_key_id"),
        charge=charge,
        cost=cost,
        currency=currency,
        cost_basis="billed",
        **meters.by_kind(kind, counts),
    )


def _moment(cells: Cells, name: str) -> pl.Series:
    """The unix time, or the ISO time beside it where that is empty."""
    text = cells.text(name)
    if text.str.contains("^[0-9]*$").all():
        written = cells.moment(name, read=values.unix_moment)
        return cells.required(known_first(written, cells.moment(f"{name}_iso")), name)
    return cells.required(cells.moment(name), name)
