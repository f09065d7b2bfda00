"""Rents of GPUs by gpuhunt, which an operator may install: `pip install gpuhunt` (MPL-2.0).

Of its tens of thousands of rows only machines that the catalog lists already are taken, by provider, machine, region
and plan: the catalog is a selection, and a refresh does not change of what.
"""

import hashlib
import importlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from costadvisor.catalog.facts import GpuOffer, newest_offers
from costadvisor.catalog.snapshot import Catalog
from costadvisor.catalog.sources.reading import Reading, UnreadableError

NOT_INSTALLED = "gpuhunt is not installed, so rents of GPUs were not looked at; `pip install gpuhunt` adds them."
PROVIDERS = {"lambdalabs": "lambda"}  # its names for ours, where they differ


def gpuhunt_reading(catalog: Catalog, *, read_on: date) -> Reading | None:
    """None where gpuhunt is not installed. Raises UnreadableError where it fails."""
    try:
        gpuhunt: Any = importlib.import_module("gpuhunt")
    except ImportError:
        return None
    try:
        items = gpuhunt.Catalog(balance_resources=False).query(min_gpu_count=1)
    except Exception as error:  # what each of its providers raises
        raise UnreadableError(f"failed ({type(error).__name__})") from None
    offers = tuple(_offers(items, newest_offers(catalog.gpu_offers, read_on), read_on))
    said = "\n".join(f"{o.provider},{o.offer},{o.region},{o.plan},{o.usd_per_hour}" for o in offers)
    digest = hashlib.sha256(said.encode()).hexdigest()
    return Reading(source="gpuhunt", origin="gpuhunt", sha256=digest, read_on=read_on, offers=offers)


def _offers(items: Iterable[Any], known: Iterable[GpuOffer], read_on: date) -> Iterator[GpuOffer]:
    """A machine known without a region is taken only where every region has one price."""
    listed: dict[tuple[str, str, str], dict[str, Decimal]] = {}
    for item in items:
        if item.price and math.isfinite(item.price) and item.price > 0:
            plan = "spot" if item.spot else "on_demand"
            machine = (PROVIDERS.get(item.provider, item.provider), item.instance_name, plan)
            listed.setdefault(machine, {})[item.location] = Decimal(str(item.price))
    for offer in known:
        regions = listed.get((offer.provider, offer.offer, offer.plan), {})
        prices = {regions[offer.region]} if offer.region in regions else set() if offer.region else {*regions.values()}
        if len(prices) == 1:
            source = f"gpuhunt, read on {read_on}"
            yield replace(offer, usd_per_hour=prices.pop(), as_of=read_on, source=source, confidence="high", note="")
