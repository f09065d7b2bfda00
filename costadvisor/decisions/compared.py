"""Two answers side by side: what changed between them, and how far each change moved the answer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from costadvisor.common.money import UNKNOWN, amount_text, money_in_prose
from costadvisor.economics import Case, case_bytes, parse_case
from costadvisor.economics.changes import Change
from costadvisor.economics.comparison import ChangedInput, Comparison, Move, compare
from costadvisor.economics.evaluation import Evaluation
from costadvisor.economics.names import input_name, input_text, names_by_id, option_id

COMPARISONS_KEPT = 16  # a page asks again for what it showed a minute ago
ABSENT, PRESENT = "not there", "there"
HEADINGS = ("what changed", "before", "after", "lead", "recommended", "today")


@dataclass(frozen=True)
class ChangeRow:
    """`inputs` are (name, before, after); amounts in USD over the horizon."""

    inputs: tuple[tuple[str, str, str], ...]
    lead: str
    best: str
    today: str


@dataclass(frozen=True)
class Compared:
    before: str
    after: str
    rows: tuple[ChangeRow, ...]
    first: ChangeRow
    last: ChangeRow
    told: str


def compared(before: tuple[Case, Evaluation], after: tuple[Case, Evaluation]) -> Compared:
    """Raises CaseError where one can't be evaluated any more."""
    found = _compared(case_bytes(before[0]), case_bytes(after[0]))
    names = names_by_id(before[0]) | names_by_id(after[0])
    return Compared(
        before=before[1].verdict.sentence,
        after=after[1].verdict.sentence,
        rows=tuple(_row(move, names) for move in found.moves),
        first=_total("Before", found.before),
        last=_total("After", found.after),
        told=_told(found),
    )


def comparison_text(said: Compared) -> str:
    """For a terminal: both sentences, then the changes, the largest first, between the totals they connect."""
    rows = [HEADINGS, *_cells(said.first), *(cells for row in said.rows for cells in _cells(row)), *_cells(said.last)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([f"Before: {said.before}", f"After: {said.after}", "", said.told, "", *lines])


@lru_cache(maxsize=COMPARISONS_KEPT)
def _compared(before: bytes, after: bytes) -> Comparison:
    return compare(parse_case(before.decode()), parse_case(after.decode()))


def _told(found: Comparison) -> str:
    """Who leads, before and now."""
    if not found.moves:
        return "Nothing that the answer rests on has changed."
    before, after = found.before.lead_usd, found.after.lead_usd
    if before is None or after is None:
        return "Without an allowed API and an allowed option with GPUs on both sides there is no lead to compare."
    told = f"Before, {_ahead(before, 'was')}; now {_ahead(after, 'is')}"
    return f"{told}. Totals are medians over the horizon, discounted."


def _ahead(lead: Decimal, verb: str) -> str:
    who = "serving the model ourselves" if lead > 0 else "the best API"
    return f"{who} {verb} ahead by {money_in_prose(abs(lead), 'USD')}"


def _row(move: Move, names: Mapping[str, str]) -> ChangeRow:
    inputs = tuple(input_words(one, names) for one in move.inputs)
    return ChangeRow(inputs, _signed(move.lead_usd), _signed(move.best_usd), _signed(move.today_usd))


def input_words(one: ChangedInput | Change, names: Mapping[str, str]) -> tuple[str, str, str]:
    """What it is called, and what it was and is."""
    return _name(one, names), _value(one, one.before), _value(one, one.after)


def _total(name: str, standing: Any) -> ChangeRow:
    figures = (standing.lead_usd, standing.best_usd, standing.today_usd)
    return ChangeRow(((name, "", ""),), *(amount_text(usd) for usd in figures))


def _name(one: ChangedInput | Change, names: Mapping[str, str]) -> str:
    id_ = option_id(one.field)
    return names.get(id_, id_) if one.field == f"/options/{id_}" else input_name(one.field, names)


def _value(one: ChangedInput | Change, value: Any) -> str:
    """A number as people read it; of what has no number, whether it is there."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ABSENT
    if isinstance(value, dict) and isinstance(_rate(value), str | int | float):
        return input_text(one.field, float(_rate(value)))
    if isinstance(value, dict | list):
        return PRESENT
    try:
        return input_text(one.field, float(value))
    except ValueError:
        return str(value)


def _rate(part: Mapping[str, Any]) -> Any:
    """The number that a part is about: of a capacity its rate, of lengths their mean, of a week its peak."""
    keys = ("requests_per_s", "tokens_per_s", "mean", "peak_to_mean", "margin")
    return next((part[key] for key in keys if part.get(key) is not None), None)


def _signed(usd: Decimal | None) -> str:
    """`+1,234.56`: what a change added."""
    if usd is None:
        return UNKNOWN
    return f"+{amount_text(usd)}" if usd > 0 else amount_text(usd)


def _cells(row: ChangeRow) -> list[tuple[str, ...]]:
    first, *others = row.inputs
    return [(*first, row.lead, row.best, row.today), *((*more, "", "", "") for more in others)]


def _aligned(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    name, *figures = cells
    return [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))]
