"""AWS Cost and Usage Report 2.0, the lines of Amazon Bedrock. Its quantities count thousands of tokens.

Two schemes name the kind of use: `USE1-Claude3Sonnet-input-tokens-batch`, `USE1-Nova-cache-read-input-token-count`.
"""

import re
from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters
from costadvisor.spend.formats.cells import Cells, Period, day_of, known_first
from costadvisor.spend.formats.values import name

NAME = "aws_cur"
LABEL = "AWS Cost and Usage Report 2.0, Bedrock (CSV, Parquet)"
MARKS = (
    "line_item_usage_type", "line_item_usage_amount", "line_item_unblended_cost", "line_item_currency_code",
    "line_item_line_item_type",
)  # fmt: skip
_PRODUCT = ("line_item_product_code", "product_product_name", "product_servicecode", "product")
COLUMNS = (
    *MARKS, *_PRODUCT, "line_item_line_item_description", "line_item_usage_start_date", "line_item_usage_end_date",
    "bill_billing_period_start_date", "pricing_unit", "line_item_usage_account_id",
)  # fmt: skip
MAPPING = {
    "tokens": "line_item_usage_amount × 1,000, by the kind that line_item_usage_type names",
    "cost": "line_item_unblended_cost, as billed",
    "model": "line_item_usage_type, between the region and the kind",
}
_TYPE = re.compile(
    r"(?:[A-Z]{2,4}[0-9]?-)?(?P<model>.+?)-(?:text-)?(?:cache-(?:read|write)-)?(?:input|output)-token(?:s|-count)"
    r"(?P<more>-.*)?"
)
_CHARGES = {
    "usage": "usage", "discountedusage": "usage", "savingsplancoveredusage": "usage", "": "usage", "tax": "tax",
    "credit": "credit", "refund": "refund", "fee": "commitment", "rifee": "commitment",
    "savingsplanrecurringfee": "commitment", "savingsplanupfrontfee": "commitment", "edpdiscount": "credit",
    "bundleddiscount": "credit", "privateratediscount": "credit", "savingsplannegation": "credit",
}  # fmt: skip


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    usage_type = cells.text("line_item_usage_type")
    product = (
        cells.text(*_PRODUCT).str.to_lowercase()
        + " "
        + cells.text("line_item_line_item_description").str.to_lowercase()
    )
    ours = product.str.contains("bedrock") | usage_type.str.contains(r"-(?:input|output)-token")
    cells.leave_out(~ours, "{rows} lines of other services than Bedrock are left out.")
    model = cells.each(usage_type, "line_item_usage_type", _model)
    kind = cells.each(usage_type, "line_item_usage_type", _kind)
    charge = meters.charges(cells, cells.text("line_item_line_item_type"), _CHARGES, "line_item_line_item_type")
    charge = charge.zip_with((charge != "usage") | (kind != ""), cells.same("other"))
    cost = cells.money("line_item_unblended_cost")
    cells.refuse(~cost.known, "line_item_unblended_cost", "is empty; every line has it")
    currency = cells.currency("line_item_currency_code")
    cells.refuse(currency == "", "line_item_currency_code", "an amount needs its currency, such as USD")
    counts = meters.tokens(cells, "line_item_usage_amount", _units(cells))
    cells.refuse((charge == "usage") & (counts < 0), "line_item_usage_amount", "is negative; tokens are counted from 0")
    yield cells.figures(
        period=_period(cells),
        provider="aws",
        model=model,
        scope=cells.scope("line_item_usage_account_id"),
        batch=cells.lookup(usage_type, lambda text: "batch" in text.lower(), "line_item_usage_type", pl.Boolean),
        charge=charge,
        cost=cost,
        currency=currency,
        cost_basis="billed",
        invoice_month=cells.text("bill_billing_period_start_date").str.slice(0, 7),
        **meters.by_kind(kind.zip_with(charge == "usage", cells.same("")), counts),
    )


def _period(cells: Cells) -> Period:
    """The hour or day of use; a line that says none, such as a tax, is of its bill's first day."""
    start = cells.required(
        known_first(cells.moment("line_item_usage_start_date"), cells.moment("bill_billing_period_start_date")),
        "line_item_usage_start_date",
    )
    end = cells.moment("line_item_usage_end_date")
    cells.refuse(end < start, "line_item_usage_end_date", "is before line_item_usage_start_date")
    return start, known_first(end.zip_with((end > start).fill_null(False), day_of(start)[1]), day_of(start)[1])


def _units(cells: Cells) -> pl.Series:
    """Thousands, unless the pricing unit says millions."""
    said = cells.text("pricing_unit").str.to_lowercase()
    return cells.each(said, "pricing_unit", lambda one: "1M" if "1m" in one or "million" in one else "1K")


def _model(usage_type: str) -> str:
    found = _TYPE.fullmatch(usage_type)
    return name("line_item_usage_type", found["model"] if found else "", required=False)


def _kind(usage_type: str) -> str:
    found = _TYPE.fullmatch(usage_type)
    return meters.token_kind(usage_type[len(found["model"]) :] if found else "")
