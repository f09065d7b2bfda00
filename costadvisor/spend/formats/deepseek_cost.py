"""DeepSeek's export, `cost-*.csv` in its ZIP: what a day of a model cost, mostly in yuan."""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.deepseek_usage import period_of

NAME = "deepseek_cost"
LABEL = "DeepSeek export: cost (CSV, ZIP)"
MARKS = ("model", "wallet_type", "cost", "currency")
COLUMNS = (*MARKS, "start_time_iso", "end_time_iso", "utc_date", "start_time", "end_time", "api_key_name")
MAPPING = {"cost": "cost, as billed; granted balance is told apart as a tier"}


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    cost = cells.money("cost")
    cells.refuse(~cost.known, "cost", "is empty; every line has it")
    currency = cells.currency("currency")
    cells.refuse(currency == "", "currency", "an amount needs its currency, such as CNY")
    yield cells.figures(
        period=period_of(cells),
        provider="deepseek",
        model=cells.name("model", required=True),
        scope=cells.scope("api_key_name"),
        tier=cells.name("wallet_type"),
        cost=cost,
        currency=currency,
        cost_basis="billed",
    )
