"""Money to the last digit, also in a column of a million amounts.

Bills write up to 30 decimals, of cents even, which no machine number holds. A column of amounts is five columns of
whole numbers: units and four groups of ten decimals, each with the amount's sign. They add up without rounding.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

PLACES, GROUP = 40, 10
LIMBS = (PLACES // GROUP) + 1
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The default context would round to 28 digits."""
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def limb_names(name: str) -> list[str]:
    return [f"{name}_{limb}" for limb in range(LIMBS)]


def limbs_of(amount: Decimal) -> list[int]:
    """Units and groups of ten decimals of one amount, rounded to 40 decimals."""
    scaled = int(EXACT.scaleb(EXACT.quantize(amount, Decimal(1).scaleb(-PLACES)), PLACES))
    sign, rest = (-1, -scaled) if scaled < 0 else (1, scaled)
    found = []
    for _ in range(LIMBS - 1):
        rest, low = divmod(rest, 10**GROUP)
        found.append(sign * low)
    return [sign * rest, *found[::-1]]


def amount_of(limbs: Sequence[int | None]) -> Decimal | None:
    """The amount that limbs, or sums of them, stand for; without zeros at its end."""
    if limbs[0] is None:
        return None
    whole = sum((limb or 0) * 10 ** (GROUP * (LIMBS - 1 - place)) for place, limb in enumerate(limbs))
    return plain(EXACT.scaleb(Decimal(whole), -PLACES))


def plain(amount: Decimal) -> Decimal:
    """The same amount without zeros at the end of its decimals, and never as a power of ten."""
    text = f"{amount:f}"
    return Decimal(text.rstrip("0").rstrip(".") or "0") if "." in text else Decimal(text)


def shifted(amount: Decimal, places: int) -> Decimal:
    return EXACT.scaleb(amount, places)


def from_values(values: Mapping[str, object], name: str) -> Decimal | None:
    """The amount in a record of a frame with the limbs of `name`."""
    return amount_of([values[limb] for limb in limb_names(name)])  # type: ignore[misc]
