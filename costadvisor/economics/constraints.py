"""Constraints filter before cost ranks. Every refusal says in words what is missing."""

from collections.abc import Iterator

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import Case
from costadvisor.economics.demand import requests_per_s, week_weights
from costadvisor.economics.evaluation import Refusal
from costadvisor.economics.figures import plain
from costadvisor.economics.fleet import planned_week
from costadvisor.economics.names import FIRST_TOKEN, OUTPUT_TOKEN, PRIVACY, names_by_id
from costadvisor.economics.options import ApiOption, CostedOption, Latency, SelfHostOption
from costadvisor.economics.pointers import option_by_id
from costadvisor.economics.quality import quality_problem
from costadvisor.economics.vocabulary import Privacy

IMPLIED: dict[Privacy, tuple[Privacy, ...]] = {
    "on_prem": ("own_vpc", "zero_retention", "no_training"),
    "own_vpc": ("zero_retention", "no_training"),
    "zero_retention": ("no_training",),
    "in_region": (),
    "no_training": (),
}


def refusals(case: Case, option: CostedOption) -> tuple[Refusal, ...]:
    """Every constraint the option breaks; empty for an allowed one."""
    found = [*_privacy(case, option), *_quality(case, option)]
    if isinstance(option, SelfHostOption):
        found += [*_capacity(case, option), *_commitment(case, option)]
    else:
        found += [*_latency(case, option), *_rate_limit(case, option)]
    return tuple(found)


def privacy_of(option: CostedOption) -> set[Privacy]:
    """The attributes an option has, with what they imply."""
    return {implied for stated in option.privacy for implied in (stated, *IMPLIED[stated])}


def _privacy(case: Case, option: CostedOption) -> Iterator[Refusal]:
    missing = [needed for needed in case.constraints.privacy if needed not in privacy_of(option)]
    if missing:
        yield Refusal(code="privacy", message=f"Required and not offered: {', '.join(PRIVACY[it] for it in missing)}.")


def _quality(case: Case, option: CostedOption) -> Iterator[Refusal]:
    gate = case.constraints.min_quality
    if gate is None or gate.reference == option.id:
        return
    reference = option_by_id(case, gate.reference)
    scores = reference.quality if isinstance(reference, CostedOption) else ()
    problem = quality_problem(gate, option.quality, scores, names_by_id(case)[gate.reference])
    if problem:
        yield Refusal(code="quality", message=problem)


def _capacity(case: Case, option: SelfHostOption) -> Iterator[Refusal]:
    if planning_requests_per_s(case, option) <= 0:
        yield Refusal(code="slo", message="No rate of requests to a replica is sure to meet the latency target.")
        return
    limit = option.scaling.max_replicas
    most = _most_replicas(case, option)
    if limit is not None and most > limit:
        yield Refusal(code="max_replicas", message=f"Needs {most:,} replicas within the horizon; {limit:,} may be had.")


def _most_replicas(case: Case, option: SelfHostOption) -> int:
    """In the busiest hour of the busiest month, spares included."""
    week = planned_week(case, option, volume=_largest_volume(case))
    return int(week.replicas.max()) if week else 0


def _largest_volume(case: Case) -> float:
    """Of the horizon's months, against month 1's."""
    return max(1.0, (1 + float(case.workload.growth_per_month)) ** (case.horizon_months - 1))


def _commitment(case: Case, option: SelfHostOption) -> Iterator[Refusal]:
    longest, asked = case.constraints.max_commitment_months, option.hardware.commitment_months
    if longest is not None and asked > longest:
        yield Refusal(code="commitment", message=f"Commits for {asked} months; at most {longest} are wanted.")


def _latency(case: Case, option: ApiOption) -> Iterator[Refusal]:
    latency = option.latency or Latency()
    pairs = (
        (FIRST_TOKEN, latency.ttft_p95_ms, case.slo.ttft_p95_ms),
        (OUTPUT_TOKEN, latency.tpot_p95_ms, case.slo.tpot_p95_ms),
    )
    for name, has, wants in pairs:
        if has is not None and wants is not None and has > wants:
            told = f"The {name} is {plain(has)} ms; at most {plain(wants)} ms are asked for."
            yield Refusal(code="slo", message=told)


def _rate_limit(case: Case, option: ApiOption) -> Iterator[Refusal]:
    if option.rate_limit_requests_per_s is None:
        return
    mean = requests_per_s(case.workload.requests_per_month, case) * _largest_volume(case)
    busiest = mean * float(week_weights(case.workload.hourly_shape).max())
    if busiest > option.rate_limit_requests_per_s:
        limit = f"the limit is {plain(option.rate_limit_requests_per_s)}"
        yield Refusal(code="rate_limit", message=f"The busiest hour brings {busiest:.3g} requests/s; {limit}.")
