"""Prices a case leaves out: list prices of APIs and rents of GPUs on the case's day, from the catalog."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from costadvisor.catalog.api_prices import UnknownPriceError, api_price_get
from costadvisor.catalog.facts import ApiPrice, GpuOffer, Rates, newest_offers
from costadvisor.catalog.snapshot import Catalog
from costadvisor.economics import CaseError

Json = dict[str, Any]


def resolve_api_prices(option: Json, path: str, as_of: date, evidence: Json, catalog: Catalog) -> None:
    """Fill in an API option's prices where they are left out."""
    if option.get("prices") is not None:
        return
    try:
        price = api_price_get(provider=option["provider"], model=option["model"], on=as_of, catalog=catalog)
    except UnknownPriceError as error:
        raise CaseError(f"{path}/prices", str(error), "give the prices in the case") from None
    option["prices"] = _prices(price)
    evidence.setdefault(f"{path}/prices", _imported(f"list price, {price.source}", price.as_of))


def resolve_rent(option: Json, path: str, as_of: date, evidence: Json, catalog: Catalog) -> None:
    """The rent of a replica: the median of the offers known that day, or a written price that is an offer's."""
    hardware = option["hardware"]
    plan = hardware.get("plan", "on_demand")
    if plan == "owned":
        return
    rents = _rents(hardware["gpu"], plan, hardware.get("gpus_per_replica", 1), as_of, catalog)
    field = f"{path}/hardware/usd_per_hour"
    if hardware.get("usd_per_hour") is not None:
        written = Decimal(str(hardware["usd_per_hour"]))
        for offer in (offer for offer, rent in rents.items() if rent == written):
            evidence.setdefault(field, _imported(f"{_machine(offer)}: {offer.source}", offer.as_of))
        return
    if not rents:
        raise CaseError(
            field, f"is missing, and no {plan} offer of {hardware['gpu']} is known on {as_of}", "give the price"
        )
    hardware["usd_per_hour"] = _money(median(rents.values()))
    spread = f"${min(rents.values()):.2f} to ${max(rents.values()):.2f} an hour"
    found = f"median of {len(rents)} {plan.replace('_', '-')} offers of {hardware['gpu']}, {spread}"
    evidence.setdefault(field, _imported(found, max(offer.as_of for offer in rents)))


def _rents(gpu: str, plan: str, gpus: int, as_of: date, catalog: Catalog) -> Mapping[GpuOffer, Decimal]:
    """USD an hour of a replica with that many GPUs, by offer; a machine without GPUs is rented whole."""
    offers = [o for o in newest_offers(catalog.gpu_offers, as_of) if (o.gpu, o.plan) == (gpu, plan)]
    return {
        offer: offer.usd_per_hour if offer.usd_per_gpu_hour is None else offer.usd_per_gpu_hour * gpus
        for offer in offers
    }


def _machine(offer: GpuOffer) -> str:
    """With its size where no GPU says it: `hyperstack, n1-cpu-small (4 vCPUs)`."""
    size = f" ({offer.vcpus} vCPUs)" if offer.vcpus and not offer.gpus else ""
    return f"{offer.provider}, {offer.offer}{size}"


def _prices(price: ApiPrice) -> Json:
    discount = price.batch_discount
    return {
        **_rates(price.rates),
        "batch_discount": 0 if discount is None else float(discount),
        "usd_per_request": _money(price.usd_per_request),
        "tiers": [{"over_input_tokens": above, **_rates(rates)} for above, rates in price.long_context],
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
