"""Constraints filter before cost ranks. Every refusal says in words what is missing."""

from collections.abc import Iterator

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import Case
from costadvisor.economics.composition import SinglePart, parts_of, shares_of, single_part, term_months
from costadvisor.economics.demand import requests_per_s, week_weights
from costadvisor.economics.evaluation import Refusal
from costadvisor.economics.figures import plain
from costadvisor.economics.fleet import planned_week
from costadvisor.economics.names import FIRST_TOKEN, OUTPUT_TOKEN, PRIVACY, names_by_id
from costadvisor.economics.options import (
    ApiOption,
    HybridOption,
    Latency,
    Option,
    ProvisionedOption,
    RoutedOption,
    SelfHostOption,
)
from costadvisor.economics.quality import quality_problem
from costadvisor.economics.vocabulary import Privacy

IMPLIED: dict[Privacy, tuple[Privacy, ...]] = {
    "on_prem": ("own_vpc", "zero_retention", "no_training"),
    "own_vpc": ("zero_retention", "no_training"),
    "zero_retention": ("no_training",),
    "in_region": (),
    "no_training": (),
}


def refusals(case: Case, option: Option) -> tuple[Refusal, ...]:
    """Every constraint the option breaks; empty for an allowed one. Both parts of a mixture must keep them all."""
    if isinstance(option, HybridOption | RoutedOption):
        return _of_mixture(case, option)
    return tuple(_of_part(case, option, 1.0, capped=True))


def _of_mixture(case: Case, option: HybridOption | RoutedOption) -> tuple[Refusal, ...]:
    """A router gives each part its share; a hybrid's base takes what it can, and its API may have to take all."""
    names = names_by_id(case)
    shares = [float(share) for share in shares_of(option)] if isinstance(option, RoutedOption) else [1.0, 1.0]
    found = [
        refusal.model_copy(update={"message": f"{names[part.id]}: {refusal.message}"})
        for part, share in zip(parts_of(case, option), shares, strict=True)
        for refusal in _of_part(case, part, share, capped=isinstance(option, RoutedOption))
    ]
    return tuple(found)


def _of_part(case: Case, option: SinglePart, share: float, *, capped: bool) -> Iterator[Refusal]:
    """`capped` says that a fleet must serve everything; otherwise what is above max_replicas has somewhere to go."""
    yield from _privacy(case, option)
    yield from _quality(case, option)
    if isinstance(option, SelfHostOption):
        yield from _capacity(case, option, share, capped=capped)
        yield from _commitment(case, term_months(option))
        return
    yield from _latency(case, option)
    if isinstance(option, ApiOption):
        yield from _rate_limit(case, option, share)
    else:
        yield from _commitment(case, option.commitment_months)


def privacy_of(option: SinglePart) -> set[Privacy]:
    """The attributes an option has, with what they imply."""
    return {implied for stated in option.privacy for implied in (stated, *IMPLIED[stated])}


def _privacy(case: Case, option: SinglePart) -> Iterator[Refusal]:
    missing = [needed for needed in case.constraints.privacy if needed not in privacy_of(option)]
    if missing:
        yield Refusal(code="privacy", message=f"Required and not offered: {', '.join(PRIVACY[it] for it in missing)}.")


def _quality(case: Case, option: SinglePart) -> Iterator[Refusal]:
    gate = case.constraints.min_quality
    if gate is None or gate.reference == option.id:
        return
    name = names_by_id(case)[gate.reference]
    problem = quality_problem(gate, option.quality, single_part(case, gate.reference).quality, name)
    if problem:
        yield Refusal(code="quality", message=problem)


def _capacity(case: Case, option: SelfHostOption, share: float, *, capped: bool) -> Iterator[Refusal]:
    if planning_requests_per_s(case, option) <= 0:
        yield Refusal(code="slo", message="No rate of requests to a replica is sure to meet the latency target.")
        return
    limit = option.scaling.max_replicas if capped else None
    week = planned_week(case, option, volume=share * _largest_volume(case))
    if limit is not None and week and week.most > limit:
        text = f"Needs {week.most:,} replicas within the horizon; {limit:,} may be had."
        yield Refusal(code="max_replicas", message=text)


def _largest_volume(case: Case) -> float:
    """Of the horizon's months, against month 1's."""
    return max(1.0, (1 + float(case.workload.growth_per_month)) ** (case.horizon_months - 1))


def _commitment(case: Case, asked: int) -> Iterator[Refusal]:
    longest = case.constraints.max_commitment_months
    if longest is not None and asked > longest:
        yield Refusal(code="commitment", message=f"Commits for {asked} months; at most {longest} are wanted.")


def _latency(case: Case, option: ApiOption | ProvisionedOption) -> Iterator[Refusal]:
    latency = option.latency or Latency()
    pairs = (
        (FIRST_TOKEN, latency.ttft_p95_ms, case.slo.ttft_p95_ms),
        (OUTPUT_TOKEN, latency.tpot_p95_ms, case.slo.tpot_p95_ms),
    )
    for name, has, wants in pairs:
        if has is not None and wants is not None and has > wants:
            told = f"The {name} is {plain(has)} ms; at most {plain(wants)} ms are asked for."
            yield Refusal(code="slo", message=told)


def _rate_limit(case: Case, option: ApiOption, share: float) -> Iterator[Refusal]:
    if option.rate_limit_requests_per_s is None:
        return
    mean = requests_per_s(case.workload.requests_per_month, case) * _largest_volume(case) * share
    busiest = mean * float(week_weights(case.workload.hourly_shape).max())
    if busiest > option.rate_limit_requests_per_s:
        limit = f"the limit is {plain(option.rate_limit_requests_per_s)}"
        yield Refusal(code="rate_limit", message=f"The busiest hour brings {busiest:.3g} requests/s; {limit}.")
