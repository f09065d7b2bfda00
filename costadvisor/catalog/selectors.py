"""The catalog as an organization knows it on a day: the snapshot, what refreshes recorded, and its own quotes."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Q, QuerySet
from pydantic import TypeAdapter

from costadvisor.accounts.models import Organization
from costadvisor.catalog.facts import ApiPrice, GpuOffer, Rates, newest_offers
from costadvisor.catalog.models import PriceChange, PriceCheck, PriceKind, PriceSource, Quote
from costadvisor.catalog.recorded import Name, QuotedPrice, Recorded
from costadvisor.catalog.snapshot import Catalog, snapshot

API_PRICE = TypeAdapter(ApiPrice)


def catalog_known(*, organization: Organization | None, on: date, until: datetime | None = None) -> Catalog:
    """For prices of `on`; `until` leaves out what was recorded later. Without an organization there are no quotes."""
    changes = PriceChange.objects.filter(valid_from__lte=on).select_related("check_of").order_by("valid_from", "id")
    checks = PriceCheck.objects.filter(read_on__lte=on)
    if until is not None:
        changes, checks = changes.filter(check_of__read_at__lte=until), checks.filter(read_at__lte=until)
    confirmed = {source: checks.filter(source=source).first() for source in PriceSource.values}
    known = list(changes)
    return snapshot().with_recorded(
        Recorded(
            prices=_prices(known),
            confirmed=_confirmed(confirmed[PriceSource.GENAI_PRICES]),
            offers=tuple(_offers(known, confirmed[PriceSource.GPUHUNT])),
            quotes=tuple(quoted(quote) for quote in _quotes(organization, until)) if organization else (),
        )
    )


def quote_list(*, organization: Organization) -> QuerySet[Quote]:
    """All that were ever entered, the last first."""
    return Quote.objects.filter(organization=organization).select_related("created_by")


def quote_find(*, organization: Organization, quote_id: int) -> Quote | None:
    return quote_list(organization=organization).filter(pk=quote_id).first()


def check_list() -> QuerySet[PriceCheck]:
    return PriceCheck.objects.prefetch_related("changes")


def quoted(quote: Quote) -> QuotedPrice:
    """As the catalog prices by it; a price of an API has an input and an output price."""
    rates = None
    if quote.input_usd_per_mtok is not None and quote.output_usd_per_mtok is not None:
        rates = Rates(quote.input_usd_per_mtok, quote.cached_input_usd_per_mtok, quote.output_usd_per_mtok)
    named = f", {quote.file_name}" if quote.file_name else ""
    until = f" to {quote.valid_to}" if quote.valid_to else ""
    return QuotedPrice(
        provider=quote.provider,
        item=quote.item,
        plan=quote.plan,
        rates=rates,
        batch_discount=quote.batch_discount,
        usd_per_hour=quote.usd_per_hour,
        gpus=quote.gpus or 1,
        valid_from=quote.valid_from,
        valid_to=quote.valid_to,
        source=f"own quote of {quote.provider}, valid from {quote.valid_from}{until}: {quote.source}{named}",
    )


def _quotes(organization: Organization, until: datetime | None) -> QuerySet[Quote]:
    """Not withdrawn; of an earlier moment, entered by then and withdrawn later if at all."""
    quotes = quote_list(organization=organization)
    if until is None:
        return quotes.filter(withdrawn_at=None)
    return quotes.filter(Q(withdrawn_at=None) | Q(withdrawn_at__gt=until), created_at__lte=until)


def _prices(changes: list[PriceChange]) -> dict[Name, list[ApiPrice]]:
    found = defaultdict(list)
    for change in changes:
        if change.kind == PriceKind.API:
            found[change.provider, change.item].append(API_PRICE.validate_python(change.after))
    return found


def _confirmed(check: PriceCheck | None) -> dict[Name, date]:
    return dict.fromkeys(((provider, model) for provider, model in check.confirmed), check.read_on) if check else {}


def _offers(changes: list[PriceChange], check: PriceCheck | None) -> Iterator[GpuOffer]:
    """A machine's facts are the snapshot's; the newest price again on the day on which the list last had it."""
    machines = {machine_of(offer): offer for offer in snapshot().gpu_offers}
    changed = [_offer(machines, change) for change in changes if change.kind == PriceKind.GPU]
    offers = [offer for offer in changed if offer is not None]
    yield from offers
    if check is not None:
        listed = {tuple(machine) for machine in check.confirmed}
        for offer in newest_offers((*snapshot().gpu_offers, *offers), check.read_on):
            if machine_of(offer) in listed and offer.as_of < check.read_on:
                yield _as_read(offer, offer.usd_per_hour, check.read_on)


def _offer(machines: dict[tuple[str, str, str, str], GpuOffer], change: PriceChange) -> GpuOffer | None:
    """None for a machine that a newer snapshot no longer has."""
    known = machines.get((change.provider, change.item, change.region, change.plan))
    return known and _as_read(known, Decimal(change.after["usd_per_hour"]), change.valid_from)


def _as_read(machine: GpuOffer, usd_per_hour: Decimal, read_on: date) -> GpuOffer:
    return GpuOffer(
        **{
            **machine.__dict__,
            "usd_per_hour": usd_per_hour,
            "as_of": read_on,
            "source": f"gpuhunt, read on {read_on}",
            "confidence": "high",
            "note": "",
        }
    )


def machine_of(offer: GpuOffer) -> tuple[str, str, str, str]:
    return offer.provider, offer.offer, offer.region, offer.plan
