"""What `evaluate` demands beyond what `parse_case` accepts: nothing left to look up."""

from decimal import Decimal

from costadvisor.economics.capacity import resolved_capacity
from costadvisor.economics.case import Case
from costadvisor.economics.composition import is_owned
from costadvisor.economics.costs import resolved_prices
from costadvisor.economics.errors import CaseError
from costadvisor.economics.options import ApiOption, SelfHostOption


def require_resolved(case: Case) -> None:
    """CaseError with the path of the first thing that is still to be looked up."""
    for key, lengths in (("input_tokens", case.workload.input_tokens), ("output_tokens", case.workload.output_tokens)):
        if lengths.mean is None:
            raise CaseError(f"/workload/{key}/trace", "is not resolved", 'read the trace and give {"mean": tokens}')
    for option in case.options:
        if isinstance(option, ApiOption):
            _require_prices(case, option)
        if isinstance(option, SelfHostOption):
            _require_rent(option)
            resolved_capacity(option)


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


def _require_rent(option: SelfHostOption) -> None:
    """An owned replica has no rent; it may have a running cost an hour."""
    if option.hardware.usd_per_hour is None and not is_owned(option):
        path = f"/options/{option.id}/hardware/usd_per_hour"
        raise CaseError(path, "is missing", "give it, or resolve it from the catalog")
