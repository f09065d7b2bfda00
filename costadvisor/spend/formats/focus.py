"""FOCUS 1.2, the FinOps Foundation's columns for any cloud's bill (CSV, Parquet). EffectiveCost is the cost.

The model and the kind of token are no columns of it: they are read from SkuMeter, else from ChargeDescription.
"""

import re
from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import meters, values
from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.values import name

NAME = "focus"
LABEL = "FOCUS 1.2 (CSV, Parquet)"
MARKS = (
    "billedcost", "billingcurrency", "chargecategory", "chargeperiodstart", "chargeperiodend", "effectivecost",
    "providername", "servicecategory", "servicename",
)  # fmt: skip
COLUMNS = (
    *MARKS, "chargeclass", "chargedescription", "billingperiodstart", "consumedquantity", "consumedunit",
    "listcost", "pricingquantity", "pricingunit", "skumeter", "subaccountid",
)  # fmt: skip
MAPPING = {
    "cost": "EffectiveCost; BilledCost and ListCost are kept beside it",
    "tokens": "ConsumedQuantity × ConsumedUnit (else PricingQuantity × PricingUnit), by the kind that SkuMeter names",
    "model": "SkuMeter, else ChargeDescription, before the kind",
}
_CHARGES = {"usage": "usage", "purchase": "commitment", "tax": "tax", "credit": "credit", "adjustment": "refund"}
_KIND = re.compile(
    r"[\s,:/_-]*(?:\(?batch\)?[\s_-]*)?(?:text[\s_-]*)?(?:cach\w*[\s_-]*(?:read|write|hit|creation)?[\s_-]*)?"
    r"(?:in(?:p|pt|put)|out(?:p|pt|put)?|prompt|completion|cach\w+)[\s_-]*(?:tok|text|\b).*",
    re.I,
)


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    service = (cells.text("servicecategory") + " " + cells.text("servicename")).str.to_lowercase()
    cells.leave_out(
        ~service.str.contains("ai and machine learning|openai|bedrock|vertex|gemini|anthropic|llm|generative"),
        "{rows} lines of services that are no AI are left out.",
    )
    start = cells.required(cells.moment("chargeperiodstart", read=values.us_moment), "ChargePeriodStart")
    end = cells.required(cells.moment("chargeperiodend", read=values.us_moment), "ChargePeriodEnd")
    cells.refuse(end <= start, "ChargePeriodEnd", "is not after ChargePeriodStart")
    meter = cells.text("skumeter", "chargedescription")
    described = meter.zip_with(cells.each(meter, "SkuMeter", meters.token_kind) != "", cells.text("chargedescription"))
    kind = cells.each(described, "SkuMeter", meters.token_kind)
    effective, billed = cells.money("effectivecost"), cells.money("billedcost")
    cells.refuse(~effective.known, "EffectiveCost", "is empty; FOCUS wants it in every row")
    currency = cells.currency("billingcurrency")
    cells.refuse(currency == "", "BillingCurrency", "an amount needs its currency, such as USD")
    charge = _charge(cells)
    counts = _tokens(cells)
    cells.refuse((charge == "usage") & (counts < 0), "ConsumedQuantity", "is negative; tokens are counted from 0")
    known = (kind != "") & counts.is_not_null()
    charge = charge.zip_with((charge != "usage") | known, cells.same("other"))
    kind = kind.zip_with(charge == "usage", cells.same(""))
    yield cells.figures(
        period=(start, end),
        provider=cells.name("providername", required=True).str.to_lowercase(),
        model=cells.each(described, "SkuMeter", _model),
        scope=cells.scope("subaccountid"),
        batch=cells.lookup(described, lambda text: "batch" in text.lower(), "SkuMeter", pl.Boolean),
        charge=charge,
        cost=effective,
        billed_cost=billed,
        list_cost=cells.money("listcost"),
        currency=currency,
        cost_basis="billed",
        invoice_month=_month(cells),
        **meters.by_kind(kind, counts),
    )


def _charge(cells: Cells) -> pl.Series:
    """A correction of an earlier period is a refund, whatever it corrects."""
    charge = meters.charges(cells, cells.text("chargecategory"), _CHARGES, "ChargeCategory")
    corrects = cells.text("chargeclass").str.to_lowercase() == "correction"
    return charge.zip_with(~corrects, cells.same("refund"))


def _tokens(cells: Cells) -> pl.Series:
    consumed = meters.tokens(cells, "consumedquantity", cells.text("consumedunit"))
    priced = meters.tokens(cells, "pricingquantity", cells.text("pricingunit"))
    return consumed.zip_with(consumed.is_not_null(), priced)


def _month(cells: Cells) -> pl.Series:
    start = cells.moment("billingperiodstart", read=values.us_moment)
    return start.dt.strftime("%Y-%m").fill_null("")


def _model(text: str) -> str:
    if not meters.token_kind(text):
        return ""
    led = _KIND.sub("", text).strip(" -,:/_")
    return name("SkuMeter", re.sub(r"\s+", "-", led)[:200], required=False)
