"""Numbers of the model as people read them."""

from decimal import Decimal

from costadvisor.common.money import money_in_prose, money_text


def exact(value: float) -> Decimal:
    """A double as Decimal, less the noise of its last digits."""
    return Decimal(f"{value:.15g}")


def prose_usd(value: Decimal | float) -> str:
    """Three significant digits: `$12,300`."""
    return money_in_prose(value if isinstance(value, Decimal) else exact(value), "USD")


def rate_usd(value: Decimal | float) -> str:
    """A price: to the cent, or three significant digits below $1."""
    amount = value if isinstance(value, Decimal) else exact(value)
    return money_text(amount, "USD") if abs(amount) >= 1 else money_in_prose(amount, "USD")


def percent(share: float) -> str:
    """`93 %`; what is not all or nothing is not rounded to it: `over 99 %`, `under 1 %`."""
    if 0.995 <= share < 1:
        return "over 99 %"
    if 0 < share < 0.005:
        return "under 1 %"
    return f"{share * 100:.0f} %"


def plain(value: Decimal | int) -> str:
    """All digits, thousands apart, no trailing zeros: `1,386,000,000`, `0.15`."""
    number = Decimal(value)
    return f"{number.normalize() + 0:,f}" if number == number.to_integral_value() else f"{number.normalize():,f}"


def price(amount: Decimal) -> str:
    """A price with all its digits, and at least cents: `$2.50`, `$0.075`."""
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"${amount:,.{digits}f}"


def count(number: int, noun: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
