"""Prices a case leaves out: list prices of APIs and rents of GPUs on the case's day, from the catalog."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from costadvisor.catalog.api_prices import UnknownPriceError, api_price_get
from costadvisor.catalog.facts import ApiPrice, GpuOffer, Rates, newest_offers
from costadvisor.catalog.recorded import QuotedPrice
from costadvisor.catalog.snapshot import Catalog
from costadvisor.economics import CaseError

Json = dict[str, Any]
# Of the catalog's facts, what a term costs against on demand.
COMMITTED = {
    "reserved_1y": "one-year commitment, price against on-demand",
    "reserved_3y": "three-year commitment, price against on-demand",
}


def resolve_api_prices(option: Json, path: str, as_of: date, case: Json, catalog: Catalog) -> None:
    """Fill in an API option's prices where they are left out: an own quote that holds, else the list price."""
    if option.get("prices") is not None:
        return
    evidence = case["evidence"]
    quote = catalog.recorded.quoted_api(option["provider"], option["model"], as_of)
    if quote is not None:
        _quoted_prices(option, path, as_of, case, quote)
        return
    try:
        price = api_price_get(provider=option["provider"], model=option["model"], on=as_of, catalog=catalog)
    except UnknownPriceError as error:
        raise CaseError(f"{path}/prices", str(error), "give the prices in the case") from None
    option["prices"] = _prices(price)
    evidence.setdefault(f"{path}/prices", _imported(f"list price, {price.source}", price.as_of))


def _quoted_prices(option: Json, path: str, as_of: date, case: Json, quote: QuotedPrice) -> None:
    """The factor between bill and list price was found against the list price, so that it goes where a quote comes."""
    rates, discount = quote.rates, quote.batch_discount
    if rates is None:
        return
    option["prices"] = _rates(rates) | {"batch_discount": 0 if discount is None else float(discount)}
    told = quote.source if discount is not None else f"{quote.source}; no batch discount was quoted"
    case["evidence"].setdefault(f"{path}/prices", _imported(told, quote.known_on(as_of)))
    if option.pop("reconciliation_factor", None) is not None:
        field = f"{path}/reconciliation_factor"
        case.get("uncertainty", {}).pop(field, None)
        case["evidence"][field] = _imported("1: the quote stands in the place of the list price", as_of)


def resolve_rent(option: Json, path: str, as_of: date, evidence: Json, catalog: Catalog) -> None:
    """The rent of a replica, and on spot what is paid while there is no machine: medians of the offers known that day.

    A written price that is an offer's is cited as that.
    """
    hardware = option["hardware"]
    plan = hardware.get("plan", "on_demand")
    if plan == "owned":
        return
    field = f"{path}/hardware/usd_per_hour"
    if hardware.get("usd_per_hour") is not None:
        written = Decimal(str(hardware["usd_per_hour"]))
        rents = _rents(hardware, plan, as_of, catalog)
        for offer in (offer for offer, rent in rents.items() if rent == written):
            evidence.setdefault(field, _imported(f"{_machine(offer)}: {offer.source}", offer.as_of))
    else:
        found = median_rent(hardware, plan, as_of, catalog)
        if found is None:
            missing = f"is missing, and no {plan} offer of {hardware['gpu']} is known on {as_of}"
            raise CaseError(field, missing, "give the price")
        hardware["usd_per_hour"], said = found
        evidence.setdefault(field, said)
    if plan == "spot" and "spot" not in hardware:
        _resolve_fallback(hardware, path, as_of, evidence, catalog)


def _resolve_fallback(hardware: Json, path: str, as_of: date, evidence: Json, catalog: Catalog) -> None:
    """On demand; where no such offer is known, the evaluation says that nothing was counted."""
    found = median_rent(hardware, "on_demand", as_of, catalog)
    if found is not None:
        hardware["spot"] = {"fallback_usd_per_hour": found[0]}
        evidence.setdefault(f"{path}/hardware/spot/fallback_usd_per_hour", found[1])


def median_rent(hardware: Json, plan: str, as_of: date, catalog: Catalog) -> tuple[str, Json] | None:
    """USD an hour of a replica and its evidence: the lowest own quote, else the median of the offers; of a term without
    an offer, the share of the on-demand price that such a term costs elsewhere. None where nothing is known."""
    quotes = catalog.recorded.quoted_rents(hardware["gpu"], plan, as_of)
    if quotes:
        usd = quotes[0].rent(hardware.get("gpus_per_replica", 1))
        lowest = f", the lowest of {len(quotes)} own quotes that hold" if len(quotes) > 1 else ""
        return _money(usd), _imported(f"{quotes[0].source}{lowest}", quotes[0].known_on(as_of))
    rents = _rents(hardware, plan, as_of, catalog)
    if not rents:
        return _committed(hardware, plan, as_of, catalog)
    spread = f"${min(rents.values()):.2f} to ${max(rents.values()):.2f} an hour"
    found = f"median of {len(rents)} {plan.replace('_', '-')} offers of {hardware['gpu']}, {spread}"
    return _money(median(rents.values())), _imported(found, max(offer.as_of for offer in rents))


def _committed(hardware: Json, plan: str, as_of: date, catalog: Catalog) -> tuple[str, Json] | None:
    """By the dearest of the known terms: what is published is the largest discount to be had, as a rule."""
    known = [fact for fact in catalog.opex_facts if plan in COMMITTED and fact.item.endswith(COMMITTED[plan])]
    rents = _rents(hardware, "on_demand", as_of, catalog)
    if not known or not rents:
        return None
    ratio = max(known, key=lambda fact: fact.typical)
    usd = (median(rents.values()) * ratio.typical).quantize(Decimal("0.0001"))
    share = f"{ratio.typical}, {ratio.item}: {ratio.source}"
    how = f"the median of {len(rents)} on-demand offers of {hardware['gpu']} times {share}"
    said = {"grade": "E", "basis": "estimated", "source": how, "as_of": min(ratio.as_of, as_of).isoformat()}
    return _money(usd), said


def _rents(hardware: Json, plan: str, as_of: date, catalog: Catalog) -> Mapping[GpuOffer, Decimal]:
    """USD an hour of a replica with its GPUs, by offer; a machine without GPUs is rented whole."""
    gpus = hardware.get("gpus_per_replica", 1)
    offers = [o for o in newest_offers(catalog.gpu_offers, as_of) if (o.gpu, o.plan) == (hardware["gpu"], plan)]
    return {
        offer: offer.usd_per_hour if offer.usd_per_gpu_hour is None else offer.usd_per_gpu_hour * gpus
        for offer in offers
    }


def _machine(offer: GpuOffer) -> str:
    """With its size where no GPU says it: `hyperstack, n1-cpu-small (4 vCPUs)`."""
    size = f" ({offer.vcpus} vCPUs)" if offer.vcpus and not offer.gpus else ""
    return f"{offer.provider}, {offer.offer}{size}"


def _prices(price: ApiPrice) -> Json:
    discount, written = price.batch_discount, price.cache_write_5m_usd_per_mtok
    more: Json = {} if written is None else {"cache_write_usd_per_mtok": _money(written)}
    if price.windows:
        more["windows"] = [
            {"from_hour_utc": start, "to_hour_utc": end, "price_factor": float(round(factor, 6))}
            for start, end, factor in price.windows
        ]
    return {
        **_rates(price.rates),
        "batch_discount": 0 if discount is None else float(discount),
        "usd_per_request": _money(price.usd_per_request),
        "tiers": [{"over_input_tokens": above, **_rates(rates)} for above, rates in price.long_context],
        **more,
    }


def _rates(rates: Rates) -> Json:
    """Cached input without a price of its own is billed as input."""
    return {
        "input_usd_per_mtok": _money(rates.input_usd_per_mtok),
        "cached_input_usd_per_mtok": _money(rates.cache_read_usd_per_mtok),
        "output_usd_per_mtok": _money(rates.output_usd_per_mtok),
    }


def _money(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _imported(source: str, as_of: date) -> Json:
    """A list or catalog figure is grade D, however official."""
    return {"grade": "D", "basis": "imported", "source": source, "as_of": as_of.isoformat()}
