"""Prices that were read too long before the day of the case: said in the verdict, and one by one with their sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from costadvisor.economics.case import Case
from costadvisor.economics.figures import count
from costadvisor.economics.names import names_by_id, option_id

# By the end of a pointer: the kind of price, and what it is called.
_PRICES = {
    "/prices": ("api", "price"),
    "/hardware/usd_per_hour": ("gpu", "rent"),
    "/hardware/spot/fallback_usd_per_hour": ("gpu", "rent of the fallback"),
}


@dataclass(frozen=True)
class OldPrice:
    """`what` is `the rent of Qwen3-8B on H100`."""

    what: str
    as_of: date
    age_days: int
    most_days: int
    source: str


def old_prices(case: Case) -> tuple[OldPrice, ...]:
    """The oldest first. A price without a day cannot be old; that it has no source is said elsewhere."""
    return tuple(sorted(_old_prices(case), key=lambda price: (-price.age_days, price.what)))


def _old_prices(case: Case) -> Iterator[OldPrice]:
    names = names_by_id(case)
    for pointer, said in case.evidence.items():
        end = next((end for end in _PRICES if pointer.startswith("/options/") and pointer.endswith(end)), None)
        name = names.get(option_id(pointer))
        if end is None or said.as_of is None or name is None:
            continue
        kind, word = _PRICES[end]
        most: int = getattr(case.price_max_age_days, kind)
        age = (case.as_of - said.as_of).days
        if age > most:
            yield OldPrice(f"the {word} of {name}", said.as_of, age, most, said.source)


def old_prices_sentence(case: Case) -> str:
    """To stand behind the verdict's own; empty where no price is old."""
    old = old_prices(case)
    if not old:
        return ""
    more = f", and {count(len(old) - 1, 'more price')}" if len(old) > 1 else ""
    first = f"{old[0].what} is {count(old[0].age_days, 'day')} old (at most {old[0].most_days})"
    return f" Check before signing: {first}{more}."


def old_price_texts(case: Case) -> Iterator[str]:
    """A line each, with the source."""
    for old in old_prices(case):
        what = f"{old.what[:1].upper()}{old.what[1:]} is of {old.as_of}"
        yield f"{what}, {count(old.age_days, 'day')} old where {old.most_days} are the most: {old.source}."
