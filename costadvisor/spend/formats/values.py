"""Values of a bill, read from text one by one. Each reader returns None for an empty cell or raises `BadValue`."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from costadvisor.common.money import CURRENCIES
from costadvisor.spend.formats.amounts import shifted

_COUNT = re.compile(r"[0-9]{1,15}")
_WHOLE = re.compile(r"([0-9]{1,15})\.0+")
_MONEY = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,30})?")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
# Thousands apart by what a country writes between them; never in the decimals.
_GROUPED = {
    "point": re.compile(r"[-\u2212]?[0-9]{1,3}(?:[, '\u2019\u00a0\u202f][0-9]{3})*(?:\.[0-9]+)?"),
    "comma": re.compile(r"[-\u2212]?[0-9]{1,3}(?:[. '\u2019\u00a0\u202f][0-9]{3})*(?:,[0-9]+)?"),
}
_UNGROUPED = {
    style: re.compile(rf"[-\u2212]?[0-9]+(?:[{mark}][0-9]+)?") for style, mark in (("point", "."), ("comma", ","))
}
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
_US = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/(20[0-9]{2})(?:[ ,]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: ?([AP]M))?)?"
)
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_E_MAIL = re.compile(r"[^\s/@]+@[^\s/@]+\.[^\s/@]+")
EARLIEST, LATEST = 1_420_070_400, 4_102_444_800  # 2015-01-01 and 2100-01-01, in unix seconds
MAX_NAME_LENGTH = 200
_MINUS = "\u2212"


class BadValue(ValueError):
    """One cell cannot be read; `str()` says what is wrong with it and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def shown(text: str) -> str:
    """A cell quoted in a message, cut short; an e-mail address is never repeated."""
    text = without_e_mail(text)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"


def without_e_mail(text: str) -> str:
    return _E_MAIL.sub("…", text)


def count(field: str, text: str) -> int | None:
    """A whole number of tokens or requests; a trailing .0, as some exports write it, is none the less whole."""
    if not text:
        return None
    if whole := _WHOLE.fullmatch(text):
        text = whole[1]
    if not _COUNT.fullmatch(text):
        raise BadValue(field, f"{shown(text)} is not a whole number; write digits only, such as 1200000")
    return int(text)


def money(field: str, text: str) -> Decimal | None:
    """An amount with a decimal point, exact to 30 decimals; a credit is negative, with either minus sign."""
    if not text:
        return None
    plain = text.replace(_MINUS, "-", 1) if text.startswith(_MINUS) else text
    if not _MONEY.fullmatch(plain):
        raise BadValue(
            field, f"{shown(text)} is not an amount; write it without sign of currency or separators, such as 1234.56"
        )
    return Decimal(plain)


def number(field: str, text: str) -> Decimal | None:
    """An amount or quantity that a program wrote: also with an exponent, such as 1.5e-05."""
    if not text:
        return None
    plain = text.replace(_MINUS, "-", 1) if text.startswith(_MINUS) else text
    if not _NUMBER.fullmatch(plain):
        raise BadValue(field, f"{shown(text)} is not a number; it must be such as 1234.56 or 1.5e-05")
    return Decimal(plain)


def ungrouped(field: str, text: str, style: str) -> str:
    """A number as it is written with a decimal "point" or "comma", thousands grouped or not, as programs write it."""
    if not text:
        return text
    if not (_GROUPED[style].fullmatch(text) or _UNGROUPED[style].fullmatch(text)):
        example = "1,234.56" if style == "point" else "1.234,56"
        raise BadValue(field, f"{shown(text)} is not a number written as {example}; say how numbers are written")
    decimal = "." if style == "point" else ","
    return "".join(
        character for character in text if character.isdigit() or character in f"-{_MINUS}{decimal}"
    ).replace(",", ".")


def cents(field: str, text: str) -> Decimal | None:
    """An amount in hundredths of its currency."""
    amount = number(field, text)
    return None if amount is None else shifted(amount, -2)


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
    if text.startswith(("[", "{")):
        raise BadValue(field, f"{shown(text)} is not text")
    return without_e_mail(text)


def flag(field: str, text: str) -> bool | None:
    word = text.lower()
    if word in ("", "null", "none"):
        return None
    if word not in ("true", "false", "t", "f", "1", "0"):
        raise BadValue(field, f"{shown(text)} is neither true nor false")
    return word in ("true", "t", "1")


def month(field: str, text: str) -> tuple[datetime, datetime]:
    """First moment of a UTC calendar month and of the next one."""
    match = _MONTH.fullmatch(text)
    if not match:
        raise BadValue(field, f"{shown(text)} is not a month; write year and month such as 2026-10")
    year, number_ = int(match[1]), int(match[2])
    following = (year + 1, 1) if number_ == 12 else (year, number_ + 1)
    return datetime(year, number_, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def moment(field: str, text: str) -> datetime | None:
    """An ISO time in UTC; one without offset is in UTC already, and a date is its first moment."""
    if not text:
        return None
    plain = _FRACTION.sub(r"\1", text.removesuffix(" UTC").replace(_MINUS, "-"))
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        raise BadValue(field, f"{shown(text)} is not a time; it must be such as 2026-10-31T23:59:59Z") from None
    return _in_range(field, text, found if found.tzinfo else found.replace(tzinfo=UTC))


def us_moment(field: str, text: str) -> datetime | None:
    """As `moment`, or month, day and year with slashes: 10/31/2026, 10/31/2026 11:59 PM."""
    match = _US.fullmatch(text)
    if not match:
        return moment(field, text)
    hour, half = int(match[4] or 0), match[7]
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    try:
        found = datetime(
            int(match[3]), int(match[1]), int(match[2]), hour, int(match[5] or 0), int(match[6] or 0), tzinfo=UTC
        )
    except ValueError:
        raise BadValue(field, f"{shown(text)} is not a date; it must be month/day/year, such as 10/31/2026") from None
    return _in_range(field, text, found)


def european_moment(field: str, text: str) -> datetime | None:
    """As `us_moment`, with the day before the month: 31/10/2026, 31.10.2026."""
    day, separator, rest = text.replace(".", "/", 2).partition("/")
    number_, _, year = rest.partition("/")
    return us_moment(field, f"{number_}/{day}/{year}" if separator else text)


def unix_moment(field: str, text: str) -> datetime | None:
    if not text:
        return None
    if not _COUNT.fullmatch(text) or not EARLIEST <= int(text) <= LATEST:
        raise BadValue(field, f"{shown(text)} is not a time; it must be in unix seconds, such as 1793491200")
    return datetime.fromtimestamp(int(text), UTC)


def _in_range(field: str, text: str, found: datetime) -> datetime:
    try:
        found = found.astimezone(UTC)
    except OverflowError:
        found = datetime.max.replace(tzinfo=UTC)
    if not EARLIEST <= found.timestamp() < LATEST:
        raise BadValue(field, f"{shown(text)} is not a time from 2015 to 2099")
    return found


def day_after(start: datetime) -> datetime:
    return start + timedelta(days=1)
