"""Azure cost details, the lines of Azure OpenAI. The model and the kind of token stand in the meter's name.

Names are irregular: `gpt-4o-0806-Inp-glbl Tokens`, `gpt 4o mini0718 BatchOutp DataZone Tokens`.
"""

import re
from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters, values
from costadvisor.spend.formats.cells import Cells, day_of
from costadvisor.spend.formats.values import name

NAME = "azure_costs"
LABEL = "Azure cost details, Azure OpenAI (CSV, Parquet)"
MARKS = ("date", "metercategory", "metername", "unitofmeasure", "quantity", "costinbillingcurrency")
COLUMNS = (
    *MARKS, "metersubcategory", "billingcurrency", "billingcurrencycode", "subscriptionid", "resourcegroup",
    "chargetype",
)  # fmt: skip
MAPPING = {
    "tokens": "Quantity × UnitOfMeasure, by the kind that MeterName names",
    "cost": "CostInBillingCurrency, as billed",
    "model": "MeterName before the kind",
}
_CACHED = r"(?:cchd|cached|cache)?[\s-]*"
_BATCH = r"(?:batch[\s-]*)?"
_KIND = re.compile(
    rf"[\s-]*{_BATCH}{_CACHED}{_BATCH}{_CACHED}(?:inp|inpt|input|in|outp|outpt|output|out|opt)\b.*", re.I
)
_SPELLED_OUT = (
    (re.compile(r"\bopt\b", re.I), "output"),
    (re.compile(r"batch(?=\S)", re.I), "batch "),
    (re.compile(r"(?<=[0-9])(?=(?:inp|outp|cchd))", re.I), " "),
)
_CHARGES = {
    "usage": "usage", "": "usage", "purchase": "commitment", "refund": "refund", "tax": "tax",
    "unusedreservation": "commitment", "roundingadjustment": "other",
}  # fmt: skip


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    meter = cells.text("metername")
    ours = (cells.text("metercategory") + " " + cells.text("metersubcategory")).str.to_lowercase()
    cells.leave_out(
        ~ours.str.contains("openai|foundry models|ai foundry"),
        "{rows} lines of other services than Azure OpenAI are left out.",
    )
    day = cells.required(cells.moment("date", read=values.us_moment), "Date")
    kind = cells.each(meter, "MeterName", lambda one: meters.token_kind(_spelled(one)))
    cost = cells.money("costinbillingcurrency")
    cells.refuse(~cost.known, "CostInBillingCurrency", "is empty; every line has it")
    currency = cells.currency("billingcurrency", "billingcurrencycode")
    cells.refuse(currency == "", "BillingCurrency", "an amount needs its currency, such as USD")
    counts = meters.tokens(cells, "quantity", cells.text("unitofmeasure"))
    charge = meters.charges(cells, cells.text("chargetype"), _CHARGES, "ChargeType")
    known = (kind != "") & counts.is_not_null()
    cells.refuse((charge == "usage") & known & (counts < 0), "Quantity", "is negative; tokens are counted from 0")
    charge = charge.zip_with((charge != "usage") | known, cells.same("other"))
    used = charge == "usage"
    yield cells.figures(
        period=day_of(day),
        provider="azure",
        model=cells.each(meter, "MeterName", _model),
        scope=cells.scope("subscriptionid", "resourcegroup"),
        batch=cells.lookup(meter, lambda text: "batch" in text.lower(), "MeterName", pl.Boolean),
        charge=charge,
        cost=cost,
        currency=currency,
        cost_basis="billed",
        **meters.by_kind(kind.zip_with(used, cells.same("")), counts),
    )


def _spelled(meter: str) -> str:
    for pattern, word in _SPELLED_OUT:
        meter = pattern.sub(word, meter)
    return meter


def _model(meter: str) -> str:
    """`gpt 4o mini0718 BatchOutp DataZone Tokens` as `gpt-4o-mini0718`."""
    led = _KIND.sub("", _spelled(meter)).strip(" -")
    led = re.sub(r"[\s-]*batch$", "", led, flags=re.I)
    return name("MeterName", re.sub(r"\s+", "-", led), required=False)
