"""Google Cloud billing export, the lines of Vertex AI and the Gemini API, as CSV of the BigQuery table.

The model and the kind of token stand only in `sku.description`; credits are negative amounts beside a line's cost.
Written from general knowledge of the table, without a real file at hand.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl

from costadvisor.spend.formats import meters
from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.values import BadValue, name, number

NAME = "google_billing"
LABEL = "Google Cloud billing export, Vertex AI (CSV, JSON lines, Parquet)"
MARKS = ("service_description", "sku_description", "usage_start_time", "usage_end_time", "cost", "currency")
COLUMNS = (
    *MARKS, "project_id", "usage_amount", "usage_unit", "credits", "credits_amount", "cost_type", "invoice_month",
)  # fmt: skip
MAPPING = {
    "tokens": "usage.amount in usage.unit, by the kind that sku.description names",
    "cost": "cost, as billed; credits as rows of their own",
    "model": "sku.description before the kind",
}
_CHARGES = {"regular": "usage", "": "usage", "tax": "tax", "adjustment": "refund", "rounding_error": "other"}
_KIND = re.compile(
    r"[\s-]*(?:\(?batch\)?\s*)?(?:thinking\s*)?(?:text\s*)?(?:cach\w*\s*)?(?:text\s*)?(?:in|out)put\b.*", re.I
)


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    service = cells.text("service_description").str.to_lowercase()
    cells.leave_out(
        ~service.str.contains("vertex|gemini|generative"), "{rows} lines of other services than Vertex AI are left out."
    )
    start = cells.required(cells.moment("usage_start_time"), "usage_start_time")
    end = cells.required(cells.moment("usage_end_time"), "usage_end_time")
    cells.refuse(end <= start, "usage_end_time", "is not after usage_start_time")
    sku = cells.text("sku_description")
    kind = cells.each(sku, "sku.description", meters.token_kind)
    cost, credit = cells.money("cost"), cells.money("credits", "credits_amount", read=_credits)
    cells.refuse(~cost.known, "cost", "is empty; every line has it")
    currency = cells.currency("currency")
    cells.refuse(currency == "", "currency", "an amount needs its currency, such as USD")
    counts = meters.tokens(cells, "usage_amount", cells.text("usage_unit"))
    charge = meters.charges(cells, cells.text("cost_type"), _CHARGES, "cost_type")
    known = (kind != "") & counts.is_not_null()
    cells.refuse((charge == "usage") & known & (counts < 0), "usage.amount", "is negative; tokens are counted from 0")
    charge = charge.zip_with((charge != "usage") | known, cells.same("other"))
    kind = kind.zip_with(charge == "usage", cells.same(""))
    shared: dict[str, Any] = {
        "period": (start, end),
        "provider": "google",
        "model": cells.each(sku, "sku.description", _model),
        "scope": cells.scope("project_id"),
        "batch": cells.lookup(sku, lambda text: "batch" in text.lower(), "sku.description", pl.Boolean),
        "currency": currency,
        "cost_basis": "billed",
        "invoice_month": cells.each(cells.text("invoice_month"), "invoice.month", _month),
    }
    counted: dict[str, Any] = {**meters.by_kind(kind, counts)}
    yield cells.figures(**shared, charge=charge, cost=cost, **counted)
    yield cells.figures(**shared, charge="credit", cost=credit, keep=credit.known)


def _credits(field: str, text: str) -> Decimal | None:
    """An amount, or a list of credits with an amount each."""
    if not text.startswith(("[", "{")):
        return number(field, text)
    try:
        listed = json.loads(text, parse_float=str, parse_int=str)
        credits = [
            number(field, str(credit["amount"])) for credit in ([listed] if isinstance(listed, dict) else listed)
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue(field, "is not a list of credits with an amount each") from None
    known = [credit for credit in credits if credit is not None]
    return exact_sum(known) if known else None


def _month(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}" if re.fullmatch("20[0-9]{4}", text) else text[:7]


def _model(sku: str) -> str:
    if not meters.token_kind(sku):
        return ""
    return name("sku.description", re.sub(r"\s+", "-", _KIND.sub("", sku).strip(" -").lower()), required=False)
