"""Values of a bill, read from text one by one. Each reader returns None for an empty cell or raises `BadValue`."""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from costadvisor.common.money import CURRENCIES

_COUNT = re.compile(r"\d{1,15}")
_MONEY = re.compile(r"-?\d{1,9}(\.\d{1,40})?")
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
MAX_NAME_LENGTH = 200


class BadValue(ValueError):
    """One cell cannot be read; `str()` says what is wrong with it and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def shown(text: str) -> str:
    """A cell quoted in a message, cut short."""
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"


def count(field: str, text: str) -> int | None:
    """A whole number of tokens or requests."""
    if not text:
        return None
    if not _COUNT.fullmatch(text):
        raise BadValue(field, f"{shown(text)} is not a whole number; write digits only, such as 1200000")
    return int(text)


def money(field: str, text: str) -> Decimal | None:
    """An amount with a decimal point, rounded to a billionth; a credit is negative."""
    if not text:
        return None
    if not _MONEY.fullmatch(text):
        raise BadValue(
            field, f"{shown(text)} is not an amount; write it without sign of currency or separators, such as 1234.56"
        )
    return Decimal(text).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)


def currency(field: str, text: str) -> str:
    code = text.upper()
    if code not in CURRENCIES:
        wrong = f"{shown(text)} is not a currency known here" if text else "an amount needs its currency"
        raise BadValue(field, f"{wrong}; write an ISO code such as USD or EUR")
    return code


def name(field: str, text: str, *, required: bool) -> str:
    """A provider's or model's name. Kept as plain text whatever it starts with: nothing here evaluates a cell."""
    if required and not text:
        raise BadValue(field, "is empty; write a name")
    if len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise BadValue(field, f"is no name; write at most {MAX_NAME_LENGTH} printable characters")
    return text


def month(field: str, text: str) -> tuple[datetime, datetime]:
    """First moment of a UTC calendar month and of the next one."""
    match = _MONTH.fullmatch(text)
    if not match:
        raise BadValue(field, f"{shown(text)} is not a month; write year and month such as 2026-10")
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)
