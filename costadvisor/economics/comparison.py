"""Two cases compared: which inputs changed, and how many dollars each of them moved the answer.

Inputs are changed one at a time, from the first case to the second, once in the order of the case and once in the
opposite order; what an input moved is the mean of the two. It adds up to the whole difference, and where inputs act on
each other in pairs (volume and price) the mean is their Shapley value: neither gets the credit for having come first.
"""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from costadvisor.economics.case import Case
from costadvisor.economics.changes import Change, changed_case, changes_between
from costadvisor.economics.composition import uses_gpus
from costadvisor.economics.constraints import refusals
from costadvisor.economics.errors import CaseError
from costadvisor.economics.evaluate import case_totals
from costadvisor.economics.evaluation import CENT, Result, Usd
from costadvisor.economics.figures import exact
from costadvisor.economics.hybrid import planned_replicas
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.options import HybridOption, Option
from costadvisor.economics.parse import case_sha256
from costadvisor.economics.ranking import baseline_of
from costadvisor.economics.resolved import require_resolved
from costadvisor.economics.sampling import draw

# Each step evaluates every option; where more than this changed, what changed in one option is one step.
MOST_STEPS = 12


class Standing(Result):
    """What a case comes to: medians of discounted totals over its horizon, to the cent.

    `best_usd` is of the recommended option, `today_usd` of today's, and `lead_usd` what the best allowed API costs more
    than the best allowed option with GPUs: how far ahead self-hosting is. Null where there is none to take it of.
    """

    case_sha256: str
    best: str | None
    best_usd: Usd | None
    today_usd: Usd | None
    lead_usd: Usd | None


class ChangedInput(Result):
    field: str
    before: Any
    after: Any


class Move(Result):
    """What a change moved. `inputs` are several where they only fit together, or where too many changed."""

    inputs: tuple[ChangedInput, ...]
    best_usd: Usd | None
    today_usd: Usd | None
    lead_usd: Usd | None


class Comparison(Result):
    """`moves` are in the order of their size. In each column they add up to the difference, to the cent."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Annotated[Literal["costadvisor.comparison/1"], Field(alias="schema")]
    before: Standing
    after: Standing
    moves: tuple[Move, ...]


FIGURES = ("best_usd", "today_usd", "lead_usd")
Group = tuple[Change, ...]


def compare(before: Case, after: Case) -> Comparison:
    """Raises CaseError where one of the two can't be evaluated."""
    first, last = standing(before), standing(after)
    groups = _fitting(before, after, _groups(changes_between(before, after)))
    inner = range(1, len(groups))
    up = [first, *(standing(_with(before, after, groups[:place])) for place in inner), last]
    down = [last, *(standing(_with(before, after, groups[place:])) for place in inner), first]
    columns = {figure: _moved(figure, up, down) for figure in FIGURES}
    moves = [
        Move(inputs=_inputs(group), **{figure: columns[figure][place] for figure in FIGURES})
        for place, group in enumerate(groups)
    ]
    moves.sort(key=_size, reverse=True)
    return Comparison(schema_="costadvisor.comparison/1", before=first, after=last, moves=tuple(moves))


def standing(case: Case) -> Standing:
    """Raises CaseError for a case that can't be evaluated."""
    require_resolved(case)
    totals = case_totals(case, draw(case, uncertain_inputs(case)))
    ranked = sorted(
        (option for option in case.options if option.id in totals and _ranked(case, option)),
        key=lambda option: float(totals[option.id].tco_usd.mean()),
    )
    medians = {id_: exact(float(np.median(found.tco_usd))).quantize(CENT) for id_, found in totals.items()}
    best = ranked[0].id if ranked else None
    groups = [next((medians[o.id] for o in ranked if uses_gpus(case, o) == gpus), None) for gpus in (False, True)]
    api, own = groups
    return Standing(
        case_sha256=case_sha256(case),
        best=best,
        best_usd=None if best is None else medians[best],
        today_usd=medians.get(baseline_of(case)),
        lead_usd=None if api is None or own is None else api - own,
    )


def _ranked(case: Case, option: Option) -> bool:
    pays = not isinstance(option, HybridOption) or planned_replicas(case, option) > 0
    return pays and not refusals(case, option)


def _groups(changes: tuple[Change, ...]) -> list[Group]:
    if len(changes) <= MOST_STEPS:
        return [(change,) for change in changes]
    by_part: dict[str, list[Change]] = {}
    for change in changes:
        steps = change.field.split("/")
        by_part.setdefault("/".join(steps[:3] if steps[1] == "options" else steps[:2]), []).append(change)
    return [tuple(group) for group in by_part.values()]


def _fitting(before: Case, after: Case, groups: list[Group]) -> list[Group]:
    """Neighbours joined until a case stands after every step, in both orders."""
    place = 1
    while place < len(groups):
        if all(_stands(before, after, part) for part in (groups[:place], groups[place:])):
            place += 1
        else:
            groups = [*groups[: place - 1], groups[place - 1] + groups[place], *groups[place + 1 :]]
            place = max(1, place - 1)
    return groups


def _stands(before: Case, after: Case, groups: Sequence[Group]) -> bool:
    try:
        require_resolved(_with(before, after, groups))
    except CaseError:
        return False
    return True


def _with(before: Case, after: Case, groups: Sequence[Group]) -> Case:
    return changed_case(before, after, [change for group in groups for change in group])


def _moved(figure: str, up: Sequence[Standing], down: Sequence[Standing]) -> list[Decimal | None]:
    """For each step the mean of both orders. Of halves of a cent every other one is rounded up: they come in pairs, so
    that the whole still adds up. All null where the figure is not there all the way."""
    rising = [getattr(at, figure) for at in up]
    falling = [getattr(at, figure) for at in down]
    if None in rising or None in falling:
        return [None] * (len(up) - 1)
    twice = [rising[i + 1] - rising[i] + falling[i] - falling[i + 1] for i in range(len(up) - 1)]
    moved: list[Decimal | None] = []
    owed = Decimal(0)
    for amount in twice:
        halved = (amount / 2 + owed).quantize(CENT, ROUND_FLOOR)
        owed += amount / 2 - halved
        moved.append(halved)
    return moved


def _inputs(group: Group) -> tuple[ChangedInput, ...]:
    return tuple(ChangedInput(field=one.field, before=one.before, after=one.after) for one in group)


def _size(move: Move) -> Decimal:
    """By the first figure that is there: what decides, what one pays, what one paid."""
    figures = (move.lead_usd, move.best_usd, move.today_usd)
    return next((abs(usd) for usd in figures if usd is not None), Decimal(0))
