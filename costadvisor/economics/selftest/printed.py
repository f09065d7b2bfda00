"""A figure as its author printed it: what is read of an evaluation to hold against it, and how that is written."""

from collections.abc import Callable
from dataclasses import dataclass

from costadvisor.economics.evaluation import Evaluation, OptionResult

Reading = Callable[[Evaluation], float | None]
HOURS = 730


@dataclass(frozen=True)
class Printed:
    """`right` is what must come out: a number, within a share of it that allows for its author's rounding; None for
    never. `sound` is False for a published error, and `right` then is what should have been printed."""

    what: str
    published: str
    right: float | None
    read: Reading
    text: Callable[[float], str]
    within: float = 1e-9
    sound: bool = True

    def agrees(self, found: float | None) -> bool:
        if found is None or self.right is None:
            return found is self.right
        return abs(found - self.right) <= self.within * (abs(self.right) or 1)

    def ours(self, found: float | None) -> str:
        return "never" if found is None else self.text(found)


# What is read of an evaluation.


def _row(found: Evaluation, id_: str) -> OptionResult:
    return next(option for option in found.options if option.id == id_)


def month_usd(id_: str) -> Reading:
    """Month 1's running cost at the case's own values."""

    def read(found: Evaluation) -> float | None:
        spread = _row(found, id_).usd_per_month
        return None if spread is None else float(spread.point)

    return read


def usd_per_mtok(found: Evaluation) -> float | None:
    rate = _row(found, "own").usd_per_mtok
    return None if rate is None else float(rate)


def break_even_mtok(found: Evaluation) -> float | None:
    """Millions of tokens a month from which own hosting is first cheaper."""
    intervals = found.break_even[0].intervals
    return intervals[0].from_tokens_per_month / 1e6 if intervals else None


def saved_share(found: Evaluation) -> float | None:
    today, own = month_usd("today")(found), month_usd("own")(found)
    return None if today is None or own is None else 1 - own / today


def payback_month(found: Evaluation) -> float | None:
    return _row(found, "own").payback_months


def capacity_mtok(mtok_per_month: float) -> Reading:
    """Millions of tokens a month that a full replica makes: what it makes now, over how busy that keeps it."""

    def read(found: Evaluation) -> float | None:
        busy = _row(found, "own").utilization
        return mtok_per_month / busy if busy else None

    return read


def hours_to_pay(purchase_usd: float) -> Reading:
    """The hardware over what is saved in each hour of 36 months, undiscounted."""

    def read(found: Evaluation) -> float | None:
        saved = _row(found, "own").npv_usd
        return None if saved is None else purchase_usd / ((float(saved.point) + purchase_usd) / (36 * HOURS))

    return read


# Figures as people read them.


def usd_text(value: float) -> str:
    return f"${value:,.2f}"


def mtok_text(value: float) -> str:
    return f"{value:,.0f}M tokens a month"


def hours_text(value: float) -> str:
    return f"{value:,.0f} hours"


def month_text(value: float) -> str:
    return f"month {value:.0f}"
