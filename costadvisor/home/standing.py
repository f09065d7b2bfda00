"""Last months' API spend against the published rule of thumb. Pure."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costadvisor.spend.overview import SpendGrid

RULE_OF_THUMB_USD = (Decimal(1_000), Decimal(10_000))
_ZONES = {
    "below": "Under about $1,000 a month, serving a model yourselves rarely pays.",
    "between": "Between about $1,000 and $10,000 a month, it depends: on lengths, shape of the week, people, privacy.",
    "above": "Over about $10,000 a month, serving a model yourselves often pays.",
}


@dataclass(frozen=True)
class Standing:
    """The last month with a cost in US dollars, and its zone."""

    month: date
    usd: Decimal
    zone: str
    sentence: str


def standing(grid: SpendGrid | None) -> Standing | None:
    """None where no month shown has a cost in US dollars."""
    if grid is None:
        return None
    for month, total in reversed(list(zip(grid.months, grid.totals, strict=True))):
        usd = dict(total.amounts).get("USD")
        if usd is not None:
            zone = _zone(usd)
            return Standing(month, usd, zone, _ZONES[zone])
    return None


def _zone(usd: Decimal) -> str:
    low, high = RULE_OF_THUMB_USD
    return "below" if usd < low else "between" if usd <= high else "above"
