"""A column of amounts, read at once where they are written plainly."""

import polars as pl

from costadvisor.spend.formats.amounts import GROUP, LIMBS

_PLAIN = r"^-?[0-9]{1,9}(?:\.[0-9]{1,30})?$"


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
        if longest > (limb - 1) * GROUP:
            digits = decimals.str.slice((limb - 1) * GROUP, GROUP).str.pad_end(GROUP, "0")
            value = digits.cast(pl.Int64, strict=False) * sign
        else:
            value = pl.lit(0, pl.Int64)
        parts.append(pl.when(fits).then(value).alias(str(limb)))
    read = frame.select(*parts, (~fits & (pl.col("text") != "")).alias("left"))
    return read.drop("left"), read["left"]
