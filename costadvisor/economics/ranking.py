"""Which allowed option is best, and how sure that is against the other group."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals, totals_by_id
from costadvisor.economics.composition import uses_gpus
from costadvisor.economics.demand import Floats
from costadvisor.economics.options import Option
from costadvisor.economics.values import Sample

ALIKE = 1e-9  # of two amounts that differ by no more


@dataclass(frozen=True)
class Ranking:
    """`best` has the lowest expected TCO; `rivals` are the allowed options of the other group, cheapest first.

    `confidence` is the share of draws in which `best` costs less than every rival; its siblings (the other options
    of its own group) are no doubt about which group to choose, so they are left out.
    """

    best: Option
    siblings: tuple[Option, ...]
    rivals: tuple[Option, ...]
    confidence: float
    p_cheapest: Mapping[str, float]


def rank(case: Case, allowed: tuple[Option, ...], totals: Mapping[str, Totals]) -> Ranking | None:
    """None where no option is allowed. A draw that needs more replicas than may be had is never the cheapest."""
    if not allowed:
        return None
    ordered = sorted(allowed, key=lambda option: float(totals[option.id].tco_usd.mean()))
    best, *others = ordered
    siblings = tuple(option for option in others if uses_gpus(case, option) == uses_gpus(case, best))
    rivals = tuple(option for option in others if uses_gpus(case, option) != uses_gpus(case, best))
    own = ranked_usd(totals[best.id])
    lowest_rival = np.min([ranked_usd(totals[rival.id]) for rival in rivals], axis=0) if rivals else np.inf
    return Ranking(best, siblings, rivals, float(np.mean(own < lowest_rival)), _cheapest(ordered, totals))


def group_difference(ranking: Ranking, sample: Sample) -> Floats:
    """(draws,) TCO of the best option less the lowest TCO of its rivals, of which there must be one."""
    totals = totals_by_id((ranking.best, *ranking.rivals), sample)
    lowest = np.min([totals[rival.id].tco_usd for rival in ranking.rivals], axis=0)
    difference: Floats = totals[ranking.best.id].tco_usd - lowest
    return difference


def baseline_of(case: Case) -> str:
    """The id of the option in use today."""
    return next(option.id for option in case.options if option.baseline)


def ranked_usd(totals: Totals) -> Floats:
    return np.where(totals.feasible, totals.tco_usd, np.inf)


def _cheapest(options: list[Option], totals: Mapping[str, Totals]) -> dict[str, float]:
    """Of equals the first: a hybrid that sends nothing to its API costs what its base does, but for the last digit."""
    usd = np.array([ranked_usd(totals[option.id]) for option in options])
    least = usd.min(axis=0)
    winners = np.where(np.isfinite(least), np.argmax(usd <= least * (1 + ALIKE), axis=0), -1)
    return {option.id: float(np.mean(winners == place)) for place, option in enumerate(options)}
