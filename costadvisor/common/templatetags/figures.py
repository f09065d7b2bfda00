"""Filters for figures on pages (built in: templates need no load). Unknown prints as a word, never as 0."""

from datetime import date
from decimal import Decimal

from django import template

from costadvisor.common import money

register = template.Library()


@register.filter
def amount(value: Decimal | None) -> str:
    return money.amount_text(value)


@register.filter
def exact(value: Decimal | None) -> str:
    """A price to its last digit, without zeros behind it: `0.025`."""
    return money.UNKNOWN if value is None else format(value.normalize(), "f")


@register.filter
def in_currency(value: Decimal | None, currency: str) -> str:
    return money.money_text(value, currency)


@register.filter
def in_prose(value: Decimal | None, currency: str) -> str:
    return money.money_in_prose(value, currency)


@register.filter
def count(value: float | None) -> str:
    """A whole number with separators: requests, tokens, rows."""
    return money.UNKNOWN if value is None else f"{value:,.0f}".replace("-", money.MINUS)


@register.filter
def quantity(value: float | None) -> str:
    """Three significant digits below a thousand, whole numbers above."""
    if value is None:
        return money.UNKNOWN
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", money.MINUS)


@register.filter
def percent(value: float | None) -> str:
    return money.UNKNOWN if value is None else f"{value * 100:.3g}%".replace("-", money.MINUS)


@register.filter
def month_name(value: date) -> str:
    return value.strftime("%b %Y")


@register.filter
def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 5 s`, `1 h 20 min`."""
    if seconds is None:
        return money.UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
