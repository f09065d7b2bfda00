"""Money to the last digit, also in a column of a million amounts.

Bills write up to 30 decimals, of cents even, which no machine number holds. A column of amounts is five columns of
whole numbers: units and four groups of ten decimals, each with the amount's sign. They add up without rounding.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

import polars as pl

PLACES, _GROUP = 40, 10
LIMBS = (PLACES // _GROUP) + 1
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_PLAIN = r"^-?[0-9]{1,9}(?:\.[0-9]{1,30})?$"


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
        rest, low = divmod(rest, 10**_GROUP)
        found.append(sign * low)
    return [sign * rest, *found[::-1]]


def amount_of(limbs: Sequence[int | None]) -> Decimal | None:
    """The amount that limbs, or sums of them, stand for; without zeros at its end."""
    if limbs[0] is None:
        return None
    whole = sum((limb or 0) * 10 ** (_GROUP * (LIMBS - 1 - place)) for place, limb in enumerate(limbs))
    return plain(EXACT.scaleb(Decimal(whole), -PLACES))


def plain(amount: Decimal) -> Decimal:
    """The same amount without zeros at the end of its decimals, and never as a power of ten."""
    text = f"{amount:f}"
    return Decimal(text.rstrip("0").rstrip(".") or "0") if "." in text else Decimal(text)


def read_plain(text: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Limbs of every cell that is a plain amount such as -12.50, null for an empty one; and which cells are neither."""
    frame = pl.DataFrame({"text": text})
    fits = pl.col("text").str.contains(_PLAIN)
    body = pl.col("text").str.strip_prefix("-")
    halves = body.str.split_exact(".", 1)
    decimals = halves.struct.field("field_1").fill_null("")
    longest = frame.select(decimals.str.len_bytes().max()).item() or 0
    sign = pl.when(pl.col("text").str.starts_with("-")).then(-1).otherwise(1)
    parts = [pl.when(fits).then(halves.struct.field("field_0").cast(pl.Int64, strict=False) * sign).alias("0")]
    for limb in range(1, LIMBS):
        if longest > (limb - 1) * _GROUP:
            digits = decimals.str.slice((limb - 1) * _GROUP, _GROUP).str.pad_end(_GROUP, "0")
            value = digits.cast(pl.Int64, strict=False) * sign
        else:
            value = pl.lit(0, pl.Int64)
        parts.append(pl.when(fits).then(value).alias(str(limb)))
    read = frame.select(*parts, (~fits & (pl.col("text") != "")).alias("left"))
    return read.drop("left"), read["left"]


def shifted(amount: Decimal, places: int) -> Decimal:
    return EXACT.scaleb(amount, places)


def from_values(values: Mapping[str, object], name: str) -> Decimal | None:
    """The amount in a record of a frame with the limbs of `name`."""
    return amount_of([values[limb] for limb in limb_names(name)])  # type: ignore[misc]
