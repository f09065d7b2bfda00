"""What other prices do to an answer: its break-evens before and after, in sentences and rows. Pure.

Both answers are the evaluation's own; here they are only set beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from costadvisor.common.money import money_in_prose
from costadvisor.decisions.answers import Answer
from costadvisor.decisions.charts import allowed_break_evens
from costadvisor.decisions.compared import input_words
from costadvisor.economics.case import Case
from costadvisor.economics.changes import changes_between
from costadvisor.economics.evaluation import BreakEven
from costadvisor.economics.names import names_by_id

Key = tuple[str, str]
NONE = "no break-even"


@dataclass(frozen=True)
class BreakEvenMove:
    """Of an option against an API, in API spend a month; `message` is what the evaluation says of it now."""

    option: str
    versus: str
    before: str
    after: str
    message: str

    @property
    def moved(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class PriceMoves:
    """`prices` are (name, before, after)."""

    prices: tuple[tuple[str, str, str], ...]
    rows: tuple[BreakEvenMove, ...]
    sentences: tuple[str, ...]
    verdict_before: str
    verdict_after: str

    @property
    def verdict_changed(self) -> bool:
        return self.verdict_before != self.verdict_after


def prices_moved(before: Case, after: Case) -> tuple[tuple[str, str, str], ...]:
    """What the options are priced at and were; what is only said of a price, such as its day, is no price."""
    names = names_by_id(before) | names_by_id(after)
    changes = changes_between(before, after)
    return tuple(
        input_words(change, names)
        for change in changes
        if any(path[0] == "options" for path, _ in change.edits) and change.before != change.after
    )


def price_moves(before: Answer, after: Answer) -> PriceMoves:
    names = names_by_id(before.case) | names_by_id(after.case)
    was, now = _by_pair(before), _by_pair(after)
    rows = tuple(_row(was.get(pair), now.get(pair), pair, names) for pair in dict.fromkeys([*was, *now]))
    return PriceMoves(
        prices=prices_moved(before.case, after.case),
        rows=rows,
        sentences=tuple(_sentence(row) for row in rows if row.moved) or (_nothing_moved(rows),),
        verdict_before=before.evaluation.verdict.sentence,
        verdict_after=after.evaluation.verdict.sentence,
    )


def _by_pair(answer: Answer) -> dict[Key, BreakEven]:
    """Of month 1; of the horizon for what has no other, as a hybrid."""
    found: dict[Key, BreakEven] = {}
    for row in sorted(allowed_break_evens(answer.evaluation), key=lambda row: row.basis != "month_1"):
        found.setdefault((row.option, row.versus), row)
    return found


def _row(was: BreakEven | None, now: BreakEven | None, pair: Key, names: Mapping[str, str]) -> BreakEvenMove:
    option, versus = (names[id_] for id_ in pair)
    return BreakEvenMove(option, versus, _text(was), _text(now), now.message if now else "")


def _text(row: BreakEven | None) -> str:
    """`$8,250`, where serving it ourselves is cheaper from there on; `$1,200 to $3,400` where it is only between."""
    if row is None:
        return NONE
    if row.always_from_api_usd_per_month is not None:
        return money_in_prose(row.always_from_api_usd_per_month, "USD")
    if not row.intervals:
        return "never" if row.never else NONE
    first = row.intervals[0]
    start = money_in_prose(first.from_api_usd_per_month, "USD")
    end = "" if first.to_api_usd_per_month is None else f" to {money_in_prose(first.to_api_usd_per_month, 'USD')}"
    return f"{start}{end}"


def _sentence(row: BreakEvenMove) -> str:
    return (
        f"Your break-even of {row.option} against {row.versus} moved from {_spend(row.before)} to {_spend(row.after)}."
    )


def _spend(text: str) -> str:
    return f"{text} of API spend a month" if text.startswith("$") else text


def _nothing_moved(rows: tuple[BreakEvenMove, ...]) -> str:
    if not rows:
        return "There is no option with GPUs of your own that may be chosen, and so no break-even to move."
    return "No break-even moved by what three digits show."
