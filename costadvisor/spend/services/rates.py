"""Writes exchange rates that a person, or a program on its behalf, confirmed."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.money import CURRENCIES
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import ExchangeRate
from costadvisor.spend.rates import DOLLARS

LARGEST_USD = Decimal(100)  # of one unit; no currency that is billed in is worth more than a few dollars
MOST_DIGITS = 15


@transaction.atomic
def exchange_rate_confirm(
    *, organization: Organization, actor: User | None, currency: str, month: date, usd: str, as_of: date, source: str,
    now: datetime, origin: str = "",
) -> ExchangeRate:  # fmt: skip
    """Keeps the rate instead of an earlier one of that month, which stays as history. The same again changes nothing.

    `usd` is a decimal as written: US dollars for one unit of the currency. Raises Refusal naming the field.
    """
    month, source, text = month.replace(day=1), source.strip(), _decimal(usd)
    _check(currency, month, as_of, source, now.date())
    before = _current(organization, currency, month)
    if before is not None and (before.usd, before.as_of, before.source) == (text, as_of, source):
        return before
    if before is not None:
        _replace(before, now)
    rate = ExchangeRate.objects.create(
        organization=organization, currency=currency, month=month, usd=text, as_of=as_of, source=source,
        confirmed_by=actor, confirmed_at=now, origin=origin,
    )  # fmt: skip
    _event("exchange_rate_confirm", rate, actor, origin, {"rate": f"{rate}", "before": f"{before}" if before else None})
    return rate


@transaction.atomic
def exchange_rate_withdraw(*, rate: ExchangeRate, actor: User | None, now: datetime, origin: str = "") -> None:
    """Amounts of that month are no longer compared in dollars; the rate stays as history."""
    if rate.replaced_at is not None:
        raise Refusal("It holds no longer; another rate took its place.")
    _replace(rate, now)
    _event("exchange_rate_withdraw", rate, actor, origin, {"rate": f"{rate}"})


def _replace(rate: ExchangeRate, now: datetime) -> None:
    rate.replaced_at = now
    rate.save(update_fields=["replaced_at"])


def _current(organization: Organization, currency: str, month: date) -> ExchangeRate | None:
    return ExchangeRate.objects.select_for_update().filter(
        organization=organization, currency=currency, month=month, replaced_at=None
    ).first()  # fmt: skip


def _decimal(text: str) -> str:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal(0)
    if not (value.is_finite() and 0 < value <= LARGEST_USD and len(value.as_tuple().digits) <= MOST_DIGITS):
        raise Refusal(f"Write US dollars for one unit, such as 1.0835: above 0, {LARGEST_USD} at most.", field="usd")
    return f"{value.normalize():f}"


def _check(currency: str, month: date, as_of: date, source: str, today: date) -> None:
    if currency not in CURRENCIES or currency == DOLLARS:
        raise Refusal("Name another currency than USD by its ISO code, such as EUR.", field="currency")
    if not date(2000, 1, 1) <= month <= today:
        raise Refusal("The month must have begun.", field="month")
    if not month <= as_of <= today:
        raise Refusal("The day of the rate must lie in that month or after it, and not ahead.", field="as_of")
    if not source:
        raise Refusal("Say where the rate is from, such as “ECB reference rate” or “our treasury”.", field="source")


def _event(action: str, rate: ExchangeRate, actor: User | None, origin: str, details: dict[str, str | None]) -> None:
    event_record(
        action=action,
        object_kind="exchange_rate",
        object_id=rate.pk,
        organization_id=rate.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details=details | {"origin": origin, "currency": rate.currency, "month": f"{rate.month:%Y-%m}"},
    )
