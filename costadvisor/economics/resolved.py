"""What `evaluate` demands beyond what `parse_case` accepts: nothing left to look up, nothing it can't cost."""

from decimal import Decimal

from costadvisor.economics.capacity import resolved_capacity
from costadvisor.economics.case import Case
from costadvisor.economics.costs import resolved_prices
from costadvisor.economics.errors import CaseError
from costadvisor.economics.options import ApiOption, CostedOption, Option, SelfHostOption

COSTED_PLANS = ("on_demand",)
COSTED_POLICIES = ("fixed", "scheduled")
NOT_COSTED = "is not costed by this version"


def costed_options(case: Case) -> tuple[CostedOption, ...]:
    """The options, all of kinds that are costed; CaseError with the path of the first thing that is not there."""
    for key, lengths in (("input_tokens", case.workload.input_tokens), ("output_tokens", case.workload.output_tokens)):
        if lengths.mean is None:
            raise CaseError(f"/workload/{key}/trace", "is not resolved", 'read the trace and give {"mean": tokens}')
    return tuple(_costed(case, option) for option in case.options)


def _costed(case: Case, option: Option) -> CostedOption:
    path = f"/options/{option.id}"
    if isinstance(option, ApiOption):
        _require_prices(case, option)
        return option
    if isinstance(option, SelfHostOption):
        _require_one_of(f"{path}/hardware/plan", option.hardware.plan, COSTED_PLANS)
        _require_one_of(f"{path}/scaling/policy", option.scaling.policy, COSTED_POLICIES)
        _require_hardware(case, option)
        return option
    raise CaseError(f"{path}/kind", f"{option.kind} {NOT_COSTED}", "must be api or self_host; or leave the option out")


def _require_one_of(path: str, value: str, costed: tuple[str, ...]) -> None:
    if value not in costed:
        raise CaseError(path, f"{value} {NOT_COSTED}", f"must be {' or '.join(costed)}; or leave the option out")


def _require_prices(case: Case, option: ApiOption) -> None:
    path, prices = f"/options/{option.id}/prices", resolved_prices(option)
    if not _most_cached(case):
        return
    remedy = "give it; a provider without a cache discount charges the input price"
    problem = "is missing although input is cached"
    if prices.cached_input_usd_per_mtok is None:
        raise CaseError(f"{path}/cached_input_usd_per_mtok", problem, remedy)
    for place, tier in enumerate(prices.tiers):
        if tier.cached_input_usd_per_mtok is None:
            raise CaseError(f"{path}/tiers/{place}/cached_input_usd_per_mtok", problem, remedy)


def _most_cached(case: Case) -> Decimal:
    bounds = case.uncertainty.get("/workload/cached_input_share", ())
    return max(case.workload.cached_input_share, *bounds, Decimal(0))


def _require_hardware(case: Case, option: SelfHostOption) -> None:
    path = f"/options/{option.id}"
    if option.hardware.usd_per_hour is None:
        raise CaseError(f"{path}/hardware/usd_per_hour", "is missing", "give it, or resolve it from the catalog")
    if option.hardware.commitment_months > case.horizon_months:
        found = f"is {option.hardware.commitment_months}, past the horizon of {case.horizon_months} months"
        raise CaseError(f"{path}/hardware/commitment_months", found, "make horizon_months at least as long")
    resolved_capacity(option)
