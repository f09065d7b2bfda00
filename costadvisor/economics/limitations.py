"""What the answer does not cover, said each time it matters."""

from collections.abc import Iterator, Mapping

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals
from costadvisor.economics.figures import percent
from costadvisor.economics.options import ApiOption, CostedOption, Latency, SelfHostOption
from costadvisor.economics.wording import spend_basis

LOWEST_SIMULATED_BURSTINESS = 0.25


def limitations(case: Case, options: tuple[CostedOption, ...], totals: Mapping[str, Totals]) -> tuple[str, ...]:
    """In order: what holds for every answer, then of the workload, then option by option."""
    of_options = (text for option in options for text in _of_option(case, option, totals.get(option.id)))
    return (*_always(), *_of_workload(case), *of_options)


def _always() -> Iterator[str]:
    yield "The value of learning more is not computed by this version; doubt is judged by probability alone."
    yield (
        "Inputs are drawn independently, but for one capacity per model and GPU, one price per GPU and plan, "
        "one set of prices per provider, and one estimate of people and setup for all own fleets."
    )
    yield "That the model's weights and KV cache fit in the GPU's memory is shown only by a measurement on it."


def _of_workload(case: Case) -> Iterator[str]:
    workload = case.workload
    if workload.burstiness < LOWEST_SIMULATED_BURSTINESS:
        yield f"Burstiness {workload.burstiness} is below what was simulated (0.25); the derating is extrapolated."
    if workload.batchable_share:
        yield "Requests that may wait are moved within their day by the hour; queueing inside the hour is not modelled."
    if workload.hourly_shape == "flat":
        yield "The week is taken as flat: a busy hour would need more replicas than planned here."


def _of_option(case: Case, option: CostedOption, totals: Totals | None) -> Iterator[str]:
    if isinstance(option, ApiOption):
        yield from _of_api(case, option)
    else:
        yield from _of_fleet(option, totals)


def _of_api(case: Case, option: ApiOption) -> Iterator[str]:
    latency = option.latency or Latency()
    asked = (("TTFT", case.slo.ttft_p95_ms, latency.ttft_p95_ms), ("TPOT", case.slo.tpot_p95_ms, latency.tpot_p95_ms))
    unknown = [name for name, wanted, known in asked if wanted is not None and known is None]
    if unknown:
        yield f"{option.id}: whether it meets the SLO is not known (no p95 {' or '.join(unknown)})."
    if spend_basis(case, option) == "estimated":
        yield f"{option.id}: spend is estimated from usage and prices; no bill was compared."
    if option.prices and option.prices.tiers and not case.workload.input_tokens.histogram:
        yield f"{option.id}: long-context prices are chosen by the mean request, since lengths are known by mean only."


def _of_fleet(option: SelfHostOption, totals: Totals | None) -> Iterator[str]:
    if option.prefix_hit_share:
        yield (
            f"{option.id}: prefix_hit_share {option.prefix_hit_share} does not change its cost here; "
            "the capacity given is taken to have been found at that share."
        )
    if option.capacity and option.capacity.tokens_per_s is not None:
        yield f"{option.id}: capacity in tokens a second treats prefill and decode alike, which they are not."
    if totals is not None and not totals.feasible.all():
        short = percent(float(1 - totals.feasible.mean()))
        yield f"{option.id}: in {short} of draws it needs more replicas than may be had; those count as lost."
