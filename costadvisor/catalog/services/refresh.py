"""Records what price lists say today: each change a dated row, and nothing that was recorded before is touched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from costadvisor.audit.services import event_record
from costadvisor.catalog.api_prices import PACKAGE_CHECKED_ON, package_models, package_price
from costadvisor.catalog.facts import ApiPrice, GpuOffer, newest_offers
from costadvisor.catalog.models import PriceChange, PriceCheck, PriceKind
from costadvisor.catalog.selectors import API_PRICE, catalog_known, machine_of
from costadvisor.catalog.snapshot import Catalog
from costadvisor.catalog.sources.reading import Reading


@dataclass(frozen=True)
class Refreshed:
    """`check` is None where nothing was stored; `gone` are names that the list no longer has."""

    reading: Reading
    check: PriceCheck | None
    changes: tuple[PriceChange, ...]
    gone: tuple[str, ...]


@transaction.atomic
def prices_refresh(*, readings: Sequence[Reading], now: datetime, dry_run: bool = False) -> list[Refreshed]:
    """All of them, or none. A list that was read today already and says nothing new is not stored again."""
    found = []
    for reading in readings:
        known = catalog_known(organization=None, on=reading.read_on)
        changes = (*_api_changes(reading, known), *_gpu_changes(reading, known))
        gone = tuple(_gone(reading)) if reading.prices else ()
        check = None if dry_run else _store(reading, changes, now)
        found.append(Refreshed(reading, check, changes, gone))
    return found


def _store(reading: Reading, changes: Sequence[PriceChange], now: datetime) -> PriceCheck | None:
    names = [list(name) for name in reading.prices] + [list(machine_of(offer)) for offer in reading.offers]
    today = PriceCheck.objects.filter(source=reading.source, read_on=reading.read_on)
    if not changes and any(check.confirmed == names for check in today):
        return None
    check = PriceCheck.objects.create(
        source=reading.source,
        origin=reading.origin[:300],
        sha256=reading.sha256,
        read_on=reading.read_on,
        read_at=now,
        confirmed=names,
    )
    for change in changes:
        change.check_of = check
    PriceChange.objects.bulk_create(changes)
    details = {"source": reading.source, "sha256": reading.sha256, "changes": len(changes)}
    event_record(action="prices_refresh", object_kind="price_check", object_id=check.pk, details=details)
    return check


def _api_changes(reading: Reading, known: Catalog) -> Iterator[PriceChange]:
    packaged = package_models()
    for name, price in reading.prices.items():
        recorded = known.recorded.price(name, reading.read_on, after=PACKAGE_CHECKED_ON)
        # of this very name: the package would take a new model for an older one whose name it resembles
        before = recorded or (package_price(*packaged[name], reading.read_on) if name in packaged else None)
        before = before and known.recorded.dated(before, reading.read_on)
        if before is None or _figures(before) != _figures(price):
            begins = _begins(price, before, reading)
            yield PriceChange(
                kind=PriceKind.API,
                provider=price.provider,
                item=price.model,
                valid_from=begins,
                before=None if before is None else API_PRICE.dump_python(before, mode="json"),
                after=API_PRICE.dump_python(replace(price, as_of=begins), mode="json"),
            )


def _begins(price: ApiPrice, before: ApiPrice | None, reading: Reading) -> date:
    """On the day that the list states, where nothing was known of the time since; else when it was read."""
    known = PACKAGE_CHECKED_ON if before is None else max(before.as_of, PACKAGE_CHECKED_ON)
    return price.as_of if price.as_of > known else reading.read_on


def _figures(price: ApiPrice) -> ApiPrice:
    return replace(price, as_of=PACKAGE_CHECKED_ON, source="", confidence="")


def _gpu_changes(reading: Reading, known: Catalog) -> Iterator[PriceChange]:
    newest = {machine_of(offer): offer for offer in newest_offers(known.gpu_offers, reading.read_on)}
    for offer in reading.offers:
        before = newest[machine_of(offer)]
        if before.usd_per_hour != offer.usd_per_hour:
            yield PriceChange(
                kind=PriceKind.GPU,
                provider=offer.provider,
                item=offer.offer,
                region=offer.region,
                plan=offer.plan,
                valid_from=reading.read_on,
                before=_rent(before),
                after=_rent(offer),
            )


def _rent(offer: GpuOffer) -> Mapping[str, str]:
    return {
        "gpu": offer.gpu,
        "usd_per_hour": str(offer.usd_per_hour),
        "as_of": offer.as_of.isoformat(),
        "source": offer.source,
    }


def _gone(reading: Reading) -> Iterator[str]:
    """They keep their last price, which ages."""
    last = PriceCheck.objects.filter(source=reading.source).first()
    priced = (name for name, found in package_models().items() if package_price(*found, reading.read_on))
    listed = {(provider, model) for provider, model in last.confirmed} if last else set(priced)
    yield from (" / ".join(name) for name in sorted(listed - reading.prices.keys()))


def change_text(change: PriceChange) -> str:
    """`openai / gpt-4.1-mini: 0.40 in, 1.60 out → 0.30 in, 1.20 out, USD per million tokens, from 2026-12-01`."""
    unit = "USD per million tokens" if change.kind == PriceKind.API else "USD an hour"
    place = ", ".join(part for part in (change.region, change.plan.replace("_", " ")) if part)
    item = f"{change.provider} / {change.item}" + (f" ({place})" if place else "")
    return f"{item}: {price_text(change.before)} → {price_text(change.after)}, {unit}, from {change.valid_from}"


def price_text(price: Mapping[str, Any] | None) -> str:
    """Input, cached input and output, or the rent; with what else there is, where only that may have changed."""
    if price is None:
        return "not known"
    if "usd_per_hour" in price:
        return _plain(price["usd_per_hour"])
    rates = price["rates"]
    parts = [f"{_plain(rates['input_usd_per_mtok'])} in"]
    if rates["cached_input_usd_per_mtok"] is not None:
        parts.append(f"{_plain(rates['cached_input_usd_per_mtok'])} cached")
    parts.append(f"{_plain(rates['output_usd_per_mtok'])} out")
    if price["batch"]:
        parts.append(
            f"{_plain(price['batch']['input_usd_per_mtok'])} in and "
            f"{_plain(price['batch']['output_usd_per_mtok'])} out in batches"
        )
    if price["long_context"]:
        parts.append(f"{len(price['long_context'])} long-context rates")
    return ", ".join(parts)


def _plain(usd: str) -> str:
    return format(Decimal(usd).normalize(), "f")
