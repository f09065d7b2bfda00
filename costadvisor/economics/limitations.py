"""What the answer does not cover, said each time it matters."""

from collections.abc import Collection, Iterator, Mapping

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals
from costadvisor.economics.figures import percent, plain
from costadvisor.economics.names import FIRST_TOKEN, OUTPUT_TOKEN, names_by_id
from costadvisor.economics.options import (
    ApiOption,
    HybridOption,
    Latency,
    Option,
    ProvisionedOption,
    RoutedOption,
    SelfHostOption,
)
from costadvisor.economics.price_ages import old_price_texts
from costadvisor.economics.wording import spend_basis

LOWEST_SIMULATED_BURSTINESS = 0.25


def limitations(case: Case, totals: Mapping[str, Totals], not_paying: Collection[str]) -> tuple[str, ...]:
    """In order: old prices, what holds for every answer, then of the workload, then option by option."""
    names = names_by_id(case)
    of_options = (
        text for option in case.options for text in _of_option(case, option, names[option.id], totals.get(option.id))
    )
    alone = (f"{_capital(names[id_])}: no replica pays; it is the API alone and is not ranked." for id_ in not_paying)
    return (*old_price_texts(case), *_always(), *_of_workload(case), *of_options, *alone)


def _always() -> Iterator[str]:
    yield (
        "Uncertain inputs are drawn independently of each other. Options share what they have in common: the capacity "
        "of a model on a GPU, the price of a GPU, the prices of a provider, and people and setup for every own fleet."
    )
    yield "Whether a model fits in the memory of a GPU is not computed; only a measurement on that GPU shows it."


def _of_workload(case: Case) -> Iterator[str]:
    workload = case.workload
    if workload.burstiness < LOWEST_SIMULATED_BURSTINESS:
        yield (
            f"Arrivals are burstier ({plain(workload.burstiness)}) than any that were simulated "
            f"({LOWEST_SIMULATED_BURSTINESS}); what that costs in capacity is extrapolated."
        )
    if workload.batchable_share:
        yield "Requests that may wait are moved within their day by the hour; queueing inside the hour is not modelled."
    if workload.growth_per_month:
        growth, months = workload.growth_per_month, case.horizon_months
        yield (
            f"Growth of {100 * growth:.2g} % a month is carried on for all {months} months, to "
            f"{(1 + growth) ** (months - 1):.2g} times the first; what grew once need not go on growing."
        )
    if workload.hourly_shape == "flat":
        yield "The week is taken as flat: a busy hour would need more replicas than planned here."


def _of_option(case: Case, option: Option, name: str, totals: Totals | None) -> Iterator[str]:
    if isinstance(option, ApiOption):
        yield from _of_api(case, option, name)
    elif isinstance(option, SelfHostOption):
        yield from _of_fleet(option, name, totals)
        yield from _of_plan(option, name)
    else:
        yield from _of_mixture(option, _capital(name))


def _of_api(case: Case, option: ApiOption, name: str) -> Iterator[str]:
    latency = option.latency or Latency()
    asked = (
        (FIRST_TOKEN, case.slo.ttft_p95_ms, latency.ttft_p95_ms),
        (OUTPUT_TOKEN, case.slo.tpot_p95_ms, latency.tpot_p95_ms),
    )
    unknown = [figure for figure, wanted, known in asked if wanted is not None and known is None]
    if unknown:
        yield f"{name}: whether it meets the latency target is not known; no {' and no '.join(unknown)} is given."
    if not option.baseline:
        yield f"{name}: the work of moving to it (prompts, tests, a contract) is not counted."
    if spend_basis(case, option) == "estimated":
        yield f"{name}: the spend is estimated from usage and prices; no bill was compared."
    if option.prices and option.prices.tiers and not case.workload.input_tokens.histogram:
        yield f"{name}: long-context prices are chosen by the mean request, since only mean lengths are known."


def _of_fleet(option: SelfHostOption, name: str, totals: Totals | None) -> Iterator[str]:
    if option.prefix_hit_share:
        yield (
            f"{name}: the share of input found in the prefix cache, {percent(float(option.prefix_hit_share))}, does "
            "not change the cost here; the capacity given is taken to have been found at that share."
        )
    if option.capacity and option.capacity.tokens_per_s is not None:
        yield f"{name}: a capacity in tokens a second counts input and output tokens alike, which they are not."
    if totals is not None and not totals.feasible.all():
        short = percent(float(1 - totals.feasible.mean()))
        yield f"{name}: in {short} of draws it needs more replicas than may be had; those count as lost."


def _of_plan(option: SelfHostOption, name: str) -> Iterator[str]:
    if option.scaling.policy == "scale_to_zero":
        yield (
            f"{name}: requests are taken to come at random within the hour; burstier ones leave longer pauses, "
            "and each cold start delays the request that caused it."
        )
    if option.hardware.plan == "spot" and option.hardware.spot is None:
        yield f"{name}: interruptions, and what to pay while no spot machine is to be had, are not given nor counted."
    if option.hardware.plan == "owned":
        yield f"{name}: it is sold at its residual value at the end of its useful life or of the months looked at."


def _of_mixture(option: HybridOption | RoutedOption | ProvisionedOption, name: str) -> Iterator[str]:
    if isinstance(option, HybridOption):
        yield (
            f"{name}: what goes to the API is counted by the hour and has the same mix as all requests; within an hour "
            "that fits on average, some would still go there."
        )
    elif isinstance(option, RoutedOption):
        yield f"{name}: both parts are priced at the same mix of lengths; the router's own cost is not in it."
    else:
        yield f"{name}: what a unit serves is the provider's figure until it is measured at this mix of lengths."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
