"""Writes own quotes. One is never changed: it is withdrawn, and another entered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.catalog.models import PriceKind, Quote
from costadvisor.catalog.snapshot import snapshot
from costadvisor.common.fields import billionths
from costadvisor.common.refusal import Refusal

# Units that quotes are given in, by kind: how many of them make one of the catalog's own.
UNITS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    PriceKind.API: {"mtok": ("USD per million tokens", 1), "ktok": ("USD per 1,000 tokens", 1000)},
    PriceKind.GPU: {"machine_hour": ("USD an hour of the machine", 1), "gpu_hour": ("USD an hour of one GPU", 1)},
}
PLANS = ("on_demand", "reserved_1y", "reserved_3y", "spot", "serverless")
LARGEST_USD = Decimal(1_000_000)
FIRST_DAY, LAST_DAY = date(2020, 1, 1), date(2100, 1, 1)
MOST_GPUS = 1024


@dataclass(frozen=True)
class Given:
    """A quote as it is entered. `input`, `cached_input` and `output` of an API, `rent` of a GPU, all in `unit`."""

    kind: str
    provider: str
    item: str
    unit: str
    valid_from: date
    source: str
    plan: str = ""
    input: Decimal | None = None
    cached_input: Decimal | None = None
    output: Decimal | None = None
    batch_discount: Decimal | None = None
    rent: Decimal | None = None
    gpus: int | None = None
    valid_to: date | None = None
    file_name: str = ""


@transaction.atomic
def quote_create(*, organization: Organization, actor: User | None, given: Given, now: datetime) -> Quote:
    """Raises Refusal that names the field."""
    _require_whole(given)
    factor = UNITS[given.kind][given.unit][1]
    quote = Quote(
        organization=organization,
        kind=given.kind,
        provider=given.provider.strip(),
        item=given.item.strip(),
        plan=given.plan,
        as_entered=_as_entered(given),
        valid_from=given.valid_from,
        valid_to=given.valid_to,
        source=given.source.strip(),
        file_name=given.file_name.strip(),
        batch_discount=given.batch_discount,
        created_by=actor,
        created_at=now,
    )
    if given.kind == PriceKind.API:
        quote.input_usd_per_mtok = _times(given.input, factor)
        quote.cached_input_usd_per_mtok = _times(given.cached_input, factor)
        quote.output_usd_per_mtok = _times(given.output, factor)
    else:
        gpus = given.gpus or 1
        quote.gpus, quote.usd_per_hour = gpus, _times(given.rent, gpus if given.unit == "gpu_hour" else 1)
    _require_new(quote)
    quote.save()
    _record(quote, actor, "quote_create")
    return quote


@transaction.atomic
def quote_withdraw(*, quote: Quote, actor: User | None, now: datetime) -> Quote:
    """It prices nothing from now on, and stays in the history. Raises Refusal for one that is withdrawn."""
    locked = Quote.objects.select_for_update().get(pk=quote.pk)
    if locked.withdrawn_at is not None:
        raise Refusal("This quote is withdrawn already.")
    locked.withdrawn_at = now
    locked.save(update_fields=["withdrawn_at"])
    _record(locked, actor, "quote_withdraw")
    return locked


def _require_whole(given: Given) -> None:
    if given.kind not in UNITS:
        raise Refusal(f"Must be one of {', '.join(UNITS)}.", field="kind")
    if given.unit not in UNITS[given.kind]:
        raise Refusal(f"Must be one of {', '.join(UNITS[given.kind])}.", field="unit")
    for field, text, most in (
        ("provider", given.provider, 120), ("item", given.item, 200), ("source", given.source, 200),
        ("file_name", given.file_name, 200),
    ):  # fmt: skip
        if not text.strip() and field != "file_name":
            raise Refusal("Must not be empty.", field=field)
        if len(text.strip()) > most:
            raise Refusal(f"Must have at most {most} characters.", field=field)
        if not text.strip().isprintable():
            raise Refusal("Must be one line of text.", field=field)
    _require_days(given)
    if given.kind == PriceKind.API:
        _require_api(given)
    else:
        _require_gpu(given)


def _require_days(given: Given) -> None:
    if not FIRST_DAY <= given.valid_from < LAST_DAY:
        raise Refusal(f"Must be a day from {FIRST_DAY} on.", field="valid_from")
    if given.valid_to is not None and not given.valid_from <= given.valid_to < LAST_DAY:
        raise Refusal("Must not be before the day from which the quote holds.", field="valid_to")


def _require_api(given: Given) -> None:
    _require_price(given.input, "input")
    _require_price(given.output, "output")
    if given.cached_input is not None:
        _require_price(given.cached_input, "cached_input")
    if given.batch_discount is not None and not 0 <= given.batch_discount < 1:
        raise Refusal("Must be 0 or more, and less than all of the price.", field="batch_discount")
    if given.batch_discount is not None and given.batch_discount != billionths(given.batch_discount):
        raise Refusal("Must have at most 9 decimals.", field="batch_discount")
    for field in ("rent", "gpus", "plan"):
        if getattr(given, field):
            raise Refusal("Belongs to a GPU, not to an API.", field=field)


def _require_gpu(given: Given) -> None:
    _require_price(given.rent, "rent")
    gpus = sorted({offer.gpu for offer in snapshot().gpu_offers if offer.gpus})
    if given.item not in gpus:
        raise Refusal(f"Must be a GPU of the catalog: {', '.join(gpus)}.", field="item")
    if given.plan not in PLANS:
        raise Refusal(f"Must be one of {', '.join(PLANS)}.", field="plan")
    if not 1 <= (given.gpus or 1) <= MOST_GPUS:
        raise Refusal(f"Must be a whole number from 1 to {MOST_GPUS:,}.", field="gpus")
    for field in ("input", "cached_input", "output", "batch_discount"):
        if getattr(given, field) is not None:
            raise Refusal("Belongs to an API, not to a GPU.", field=field)


def _require_price(usd: Decimal | None, field: str) -> None:
    if usd is None:
        raise Refusal("Must be given; an unknown price is never 0.", field=field)
    if not (usd.is_finite() and 0 <= usd <= LARGEST_USD):
        raise Refusal(f"Must be a price from 0 to {LARGEST_USD:,} USD.", field=field)
    if usd != billionths(usd):
        raise Refusal("Must have at most 9 decimals.", field=field)


def _require_new(quote: Quote) -> None:
    said = ("kind", "provider", "item", "plan", "as_entered", "batch_discount", "valid_from", "valid_to", "source")
    same = {field: getattr(quote, field) for field in said}
    if Quote.objects.filter(organization=quote.organization, withdrawn_at=None, **same).exists():
        raise Refusal("Just this quote is entered already.")


def _times(usd: Decimal | None, factor: int) -> Decimal | None:
    return None if usd is None else usd * factor


def _as_entered(given: Given) -> str:
    """`0.30 in, 0.075 cached, 1.20 out, USD per million tokens`."""
    unit = UNITS[given.kind][given.unit][0]
    if given.kind == PriceKind.GPU:
        gpus = given.gpus or 1
        return f"{_plain(given.rent)} {unit}, {gpus} GPU{'' if gpus == 1 else 's'}"
    named = (("in", given.input), ("cached", given.cached_input), ("out", given.output))
    return ", ".join([*(f"{_plain(usd)} {word}" for word, usd in named if usd is not None), unit])


def _plain(usd: Decimal | None) -> str:
    return "" if usd is None else format(usd.normalize(), "f")


def _record(quote: Quote, actor: User | None, action: str) -> None:
    event_record(
        action=action,
        object_kind="quote",
        object_id=quote.pk,
        organization_id=quote.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"quote": str(quote), "as_entered": quote.as_entered},
    )
