"""A resolved case in, an evaluation out: `evaluate(case)`. No clock, no files, no randomness but the case's seed."""

from collections.abc import Iterator

from costadvisor.economics.breakeven import break_evens
from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals, totals_by_id
from costadvisor.economics.checks import Checked, checks
from costadvisor.economics.composition import base_of, fleets_of, uses_gpus
from costadvisor.economics.constraints import refusals
from costadvisor.economics.costs import api_month, require_plausible
from costadvisor.economics.evaluation import BreakEven, Evaluation
from costadvisor.economics.evidence import evidence_rows
from costadvisor.economics.hybrid import hybrid_table
from costadvisor.economics.information import value_of_information
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.limitations import limitations
from costadvisor.economics.options import ApiOption, HybridOption
from costadvisor.economics.parse import case_sha256
from costadvisor.economics.ranking import rank
from costadvisor.economics.resolved import require_resolved
from costadvisor.economics.results import Costs, option_result
from costadvisor.economics.sampling import draw
from costadvisor.economics.sensitivity import sensitivities
from costadvisor.economics.values import Exact, Sample
from costadvisor.economics.verdict import rule_of_thumb, verdict
from costadvisor.economics.wording import Findings


def evaluate(case: Case) -> Evaluation:
    """The answer to a resolved case.

    Raises CaseError with the path of what is still to be resolved, or beyond any bill.
    """
    require_resolved(case)
    refused = {option.id: refusals(case, option) for option in case.options}
    inputs = uncertain_inputs(case)
    costs = Costs(case_totals(case, draw(case, inputs)), case_totals(case, Sample(case)))
    hybrids = tuple(
        hybrid_table(case, option)
        for option in case.options
        if isinstance(option, HybridOption) and option.id in costs.point
    )
    not_paying = {table.option for table in hybrids if table.replicas == 0}
    ranked = tuple(o for o in case.options if not refused[o.id] and o.id not in not_paying)
    ranking = rank(case, ranked, costs.drawn)
    p_cheapest = ranking.p_cheapest if ranking else {}
    rows = tuple(
        option_result(case, option, refused[option.id], costs, p_cheapest.get(option.id)) for option in case.options
    )
    even = tuple(_break_evens(case))
    sensitivity = sensitivities(case, ranking, inputs) if ranking else ()
    information = value_of_information(case, ranking, inputs, costs.drawn) if ranking else None
    options = {option.id: option for option in case.options}
    found = Findings(case, options, {row.id: row for row in rows}, even, sensitivity, information)
    answer = verdict(found, ranking)
    return Evaluation(
        schema_="costadvisor.evaluation/1",
        case_sha256=case_sha256(case),
        seed=case.seed,
        draws=case.draws,
        verdict=answer,
        rule_of_thumb=rule_of_thumb(found, answer),
        options=rows,
        break_even=even,
        hybrid=hybrids,
        sensitivity=sensitivity,
        value_of_information=information,
        checks=checks(Checked(case, case.options, rows, costs, even)),
        evidence=evidence_rows(case),
        limitations=limitations(case, costs.drawn, not_paying),
    )


def case_totals(case: Case, sample: Sample) -> dict[str, Totals]:
    """Of every option with a cost: one without capacity inside the SLO has none. CaseError for one beyond any bill."""
    costed = tuple(o for o in case.options if all(planning_requests_per_s(case, f) > 0 for f in fleets_of(case, o)))
    totals = totals_by_id(costed, sample)
    for id_, found in totals.items():
        require_plausible(id_, float(found.tco_undiscounted_usd.max()))
    return totals


def _break_evens(case: Case) -> Iterator[BreakEven]:
    """Of every option with GPUs against today's API, and against the cheapest API where that is another.

    A hybrid is held against the API that it is a part of.
    """
    apis = sorted(
        (option for option in case.options if isinstance(option, ApiOption)),
        key=lambda option: (not option.baseline, api_month(case, option, Exact(case)).total),
    )
    cheapest = min(apis, key=lambda option: api_month(case, option, Exact(case)).total, default=None)
    versus = [option for option in apis if option.baseline or option is cheapest]
    for option in case.options:
        if uses_gpus(case, option):
            against = [base_of(case, option)[1]] if isinstance(option, HybridOption) else versus
            for api in against:
                yield from break_evens(case, option, api)
