"""A resolved case in, an evaluation out: `evaluate(case)`. No clock, no files, no randomness but the case's seed."""

from collections.abc import Iterator

from costadvisor.economics.breakeven import break_evens
from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals, option_totals
from costadvisor.economics.checks import Checked, checks
from costadvisor.economics.constraints import refusals
from costadvisor.economics.costs import api_month, require_plausible
from costadvisor.economics.evaluation import BreakEven, Evaluation
from costadvisor.economics.evidence import evidence_rows
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.limitations import limitations
from costadvisor.economics.options import ApiOption, CostedOption, SelfHostOption
from costadvisor.economics.parse import case_sha256
from costadvisor.economics.ranking import rank
from costadvisor.economics.resolved import costed_options
from costadvisor.economics.results import Costs, option_result
from costadvisor.economics.sampling import draw
from costadvisor.economics.sensitivity import sensitivities
from costadvisor.economics.values import Exact, Sample
from costadvisor.economics.verdict import rule_of_thumb, verdict
from costadvisor.economics.wording import Findings


def evaluate(case: Case) -> Evaluation:
    """The answer to a resolved case.

    Raises CaseError with the path of what is still to be resolved, not costed by this version, or beyond any bill.
    """
    options = costed_options(case)
    refused = {option.id: refusals(case, option) for option in options}
    inputs = uncertain_inputs(case)
    costs = Costs(_totals(case, options, draw(case, inputs)), _totals(case, options, Sample(case)))
    allowed = tuple(option for option in options if not refused[option.id])
    ranking = rank(allowed, costs.drawn)
    p_cheapest = ranking.p_cheapest if ranking else {}
    rows = tuple(
        option_result(case, option, refused[option.id], costs, p_cheapest.get(option.id)) for option in options
    )
    even = tuple(_break_evens(case, options))
    sensitivity = sensitivities(case, ranking, inputs) if ranking else ()
    found = Findings(case, {o.id: o for o in options}, {row.id: row for row in rows}, even, sensitivity)
    answer = verdict(found, ranking)
    return Evaluation(
        schema_="costadvisor.evaluation/1",
        case_sha256=case_sha256(case),
        seed=case.seed,
        draws=case.draws,
        verdict=answer,
        rule_of_thumb=rule_of_thumb(found, answer.choice),
        options=rows,
        break_even=even,
        hybrid=(),
        sensitivity=sensitivity,
        value_of_information=None,
        checks=checks(Checked(case, options, rows, costs, even)),
        evidence=evidence_rows(case),
        limitations=limitations(case, options, costs.drawn),
    )


def _totals(case: Case, options: tuple[CostedOption, ...], sample: Sample) -> dict[str, Totals]:
    """Of every option with a cost: one without capacity inside the SLO has none."""
    totals = {
        option.id: option_totals(option, sample)
        for option in options
        if isinstance(option, ApiOption) or planning_requests_per_s(case, option) > 0
    }
    for id_, costed in totals.items():
        require_plausible(id_, float(costed.tco_undiscounted_usd.max()))
    return totals


def _break_evens(case: Case, options: tuple[CostedOption, ...]) -> Iterator[BreakEven]:
    """Of every option with GPUs against today's API, and against the cheapest API where that is another."""
    apis = sorted(
        (option for option in options if isinstance(option, ApiOption)),
        key=lambda option: (not option.baseline, api_month(case, option, Exact(case)).total),
    )
    cheapest = min(apis, key=lambda option: api_month(case, option, Exact(case)).total, default=None)
    versus = [option for option in apis if option.baseline or option is cheapest]
    for option in options:
        if isinstance(option, SelfHostOption):
            for api in versus:
                yield from break_evens(case, option, api)
