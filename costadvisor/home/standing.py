"""Where an organization stands: its spend against the rule of thumb, and its own decisions' break-evens."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costadvisor.accounts.models import Membership
from costadvisor.decisions.charts import allowed_break_evens
from costadvisor.decisions.models import Recommendation
from costadvisor.decisions.stages import Stage, next_stage, sign_obstacle
from costadvisor.economics.names import names_by_id
from costadvisor.economics.verdict import ABOVE_USD, BELOW_USD
from costadvisor.spend.month import UsageMonth, reaches_over

RULE_OF_THUMB_USD = (BELOW_USD, ABOVE_USD)
_ZONES = {
    "below": "Under about $1,000 a month, serving a model yourselves rarely pays.",
    "between": "Between about $1,000 and $10,000 a month, it depends: on lengths, shape of the week, people, privacy.",
    "above": "Over about $10,000 a month, serving a model yourselves often pays.",
}


@dataclass(frozen=True)
class Standing:
    """The last whole month with a cost in US dollars, and its zone."""

    month: date
    usd: Decimal
    zone: str
    sentence: str


def standing(usage: Iterable[UsageMonth]) -> Standing | None:
    """None without a whole month in US dollars: a month that still runs would look cheaper than it is."""
    by_month: dict[date, list[UsageMonth]] = defaultdict(list)
    for row in usage:
        if row.currency == "USD":
            by_month[row.month].append(row)
    whole = [month for month, rows in by_month.items() if reaches_over(month, rows)]
    if not whole:
        return None
    month = max(whole)
    usd = sum((row.cost or Decimal(0) for row in by_month[month]), Decimal(0))
    zone = _zone(usd)
    return Standing(month, usd, zone, _ZONES[zone])


def _zone(usd: Decimal) -> str:
    low, high = RULE_OF_THUMB_USD
    return "below" if usd < low else "between" if usd <= high else "above"


@dataclass(frozen=True)
class Answered:
    """A version that stands or waits, in the words of its own answer; `stage` is the signature that it waits for."""

    recommendation: Recommendation
    sentence: str
    break_even: tuple[str, ...]
    stage: Stage | None
    is_mine_to_sign: bool


def answered(recommendation: Recommendation, membership: Membership) -> Answered:
    case, evaluation = recommendation.case, recommendation.evaluation
    names, today = names_by_id(case), next(option.id for option in case.options if option.baseline)
    return Answered(
        recommendation=recommendation,
        sentence=evaluation.verdict.sentence,
        break_even=tuple(
            f"{names[row.option]}: {row.message}"
            for row in allowed_break_evens(evaluation)
            if row.basis == "month_1" and row.versus == today
        ),
        stage=next_stage(recommendation),
        is_mine_to_sign=not sign_obstacle(recommendation, membership),
    )
