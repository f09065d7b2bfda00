"""Money as people read it. Amounts are `Decimal` with an ISO 4217 currency beside them; unknown is None and never 0."""

from decimal import ROUND_HALF_UP, Context, Decimal

MINUS = "\u2212"
UNKNOWN = "unknown"
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
# Currencies that providers and clouds bill in. Anything else is refused, so that a typo never becomes a currency.
CURRENCIES = frozenset(
    {
        "AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EUR",
        "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "JPY", "KRW", "MXN", "MYR", "NOK", "NZD",
        "PHP", "PLN", "RON", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "VND", "ZAR",
    }
)  # fmt: skip


def amount_text(amount: Decimal | None, *, places: int = 2) -> str:
    """For a table whose header names the unit: `1,234.56`, `−0.50`, or `unknown`."""
    if amount is None:
        return UNKNOWN
    rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,}"


def money_text(amount: Decimal | None, currency: str) -> str:
    """To the cent, with its currency: `$1,234.56`, `−€0.50`, `CNY 12.00`."""
    return _with_currency(amount, amount_text(amount), currency)


def money_in_prose(amount: Decimal | None, currency: str) -> str:
    """For sentences: three significant digits, from 1 to 100 to the cent: `$12,300`, `$2.31`, `$0.40`, `$0.0451`."""
    if amount is None or not amount or 1 <= abs(amount) < 100:
        return money_text(amount, currency)
    rounded = Context(prec=3, rounding=ROUND_HALF_UP).plus(amount)
    places = 0 if abs(amount) >= 100 else max(2, -int(rounded.as_tuple().exponent))
    return _with_currency(amount, amount_text(rounded, places=places), currency)


def _with_currency(amount: Decimal | None, digits: str, currency: str) -> str:
    if amount is None:
        return UNKNOWN
    sign, digits = (MINUS, digits[1:]) if digits.startswith(MINUS) else ("", digits)
    return f"{sign}{_SIGNS[currency]}{digits}" if currency in _SIGNS else f"{sign}{currency} {digits}"
