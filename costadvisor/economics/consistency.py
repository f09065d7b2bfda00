"""What the parts of a case must be to each other. Each check raises CaseError with the path of the field."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pydantic_core import PydanticCustomError

from costadvisor.economics.case import Case, Lengths
from costadvisor.economics.composition import TERM_MONTHS
from costadvisor.economics.errors import CaseError
from costadvisor.economics.options import Capacity, Hardware, HybridOption, Prices, RoutedOption, SelfHostOption
from costadvisor.economics.pointers import peak_pointer, pointed, uncertain_pointers
from costadvisor.economics.quantities import PEAK_RATIO, Quantity


def check_consistency(case: Case) -> None:
    """Raises CaseError on the first thing that cannot be."""
    _check_ids(case)
    _check_references(case)
    _check_workload(case)
    for option in case.options:
        if isinstance(option, SelfHostOption):
            _check_self_host(case, option)
        if option.kind == "api" and option.prices:
            _check_tiers(f"/options/{option.id}/prices/tiers", option.prices)
        if option.kind in ("api", "self_host", "provisioned"):
            measures = [score.measure for score in option.quality]
            _refuse_repeated(f"/options/{option.id}/quality", measures, "the measure")
    _check_uncertainty(case)
    _check_evidence(case)


def _refuse_repeated(path: str, names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CaseError(path, f"has {what} {name!r} twice", f"give each {what} once")
        seen.add(name)


def _check_ids(case: Case) -> None:
    _refuse_repeated("/options", (option.id for option in case.options), "the id")
    baselines = [option.id for option in case.options if option.baseline]
    if len(baselines) != 1:
        found = f"has {len(baselines)} baselines ({', '.join(baselines)})" if baselines else "has no baseline"
        raise CaseError("/options", found, 'set "baseline": true on the one option that is used today')


def _check_references(case: Case) -> None:
    kinds = {option.id: option.kind for option in case.options}
    policies = {option.id: option.scaling.policy for option in case.options if isinstance(option, SelfHostOption)}
    for option in case.options:
        if isinstance(option, HybridOption):
            _refer(kinds, f"/options/{option.id}/base", option.base, "self_host")
            _refer(kinds, f"/options/{option.id}/overflow", option.overflow, "api")
            if policies[option.base] not in ("fixed", "scheduled"):
                found = f"is {option.base!r}, whose policy is {policies[option.base]}"
                raise CaseError(f"/options/{option.id}/base", found, "must be a fixed or a scheduled fleet")
        if isinstance(option, RoutedOption):
            _refer(kinds, f"/options/{option.id}/small", option.small, "api", "self_host")
            _refer(kinds, f"/options/{option.id}/large", option.large, "api", "self_host")
            if option.small == option.large:
                raise CaseError(f"/options/{option.id}/large", "is the small option too", "name another option")
    if case.constraints.min_quality:
        singles = ("api", "self_host", "provisioned")
        _refer(kinds, "/constraints/min_quality/reference", case.constraints.min_quality.reference, *singles)


def _refer(kinds: Mapping[str, str], path: str, id_: str, *allowed: str) -> None:
    if kinds.get(id_) not in allowed:
        found = f"is {id_!r}, of kind {kinds[id_]}" if id_ in kinds else f"is {id_!r}, which is no option"
        right = ", ".join(known for known, kind in kinds.items() if kind in allowed)
        raise CaseError(
            path, found, f"must be the id of an option of kind {' or '.join(sorted(set(allowed)))} ({right})"
        )


def _check_workload(case: Case) -> None:
    workload = case.workload
    _check_lengths("/workload/input_tokens", workload.input_tokens)
    _check_lengths("/workload/output_tokens", workload.output_tokens)
    touched = workload.cached_input_share + workload.cache_write_input_share
    if touched > 1:
        found = f"is {workload.cache_write_input_share} beside a cached_input_share of {workload.cached_input_share}"
        raise CaseError("/workload/cache_write_input_share", found, "together they must be at most 1")
    if isinstance(workload.hourly_shape, tuple) and not any(workload.hourly_shape):
        raise CaseError("/workload/hourly_shape", "is 168 zeros", "give at least one hour a weight above 0")


def _check_lengths(path: str, lengths: Lengths) -> None:
    if (lengths.mean is None) == (lengths.trace is None):
        found = "has neither mean nor trace" if lengths.mean is None else "has a mean and a trace"
        raise CaseError(path, found, 'give {"mean": tokens} or {"trace": path}')
    if lengths.mean is None and (lengths.histogram or lengths.trace_sha256):
        raise CaseError(path, "has a histogram or a hash of a trace but no mean", 'give {"trace": path} alone')
    shares = sum((part.share for part in lengths.histogram), Decimal(0))
    if lengths.histogram and not Decimal("0.999999") <= shares <= Decimal("1.000001"):
        raise CaseError(f"{path}/histogram", f"has shares that sum to {shares}", "must sum to 1")


def _check_tiers(path: str, prices: Prices) -> None:
    starts = [tier.over_input_tokens for tier in prices.tiers]
    if starts != sorted(set(starts)):
        raise CaseError(path, "is not in order of over_input_tokens", "sort the tiers, each length once")


def _check_self_host(case: Case, option: SelfHostOption) -> None:
    path = f"/options/{option.id}"
    if option.capacity:
        _check_capacity(f"{path}/capacity", option.capacity)
    _check_hardware(f"{path}/hardware", option)
    _check_scaling(f"{path}/scaling", case, option)


def _check_capacity(path: str, capacity: Capacity) -> None:
    given = [rate for rate in (capacity.requests_per_s, capacity.tokens_per_s) if rate is not None]
    if len(given) == 2:
        raise CaseError(path, "has requests_per_s and tokens_per_s", "give one of them")
    if not given and capacity.record is None:
        raise CaseError(path, "has no rate", "give requests_per_s, tokens_per_s or a record")
    if not given and (capacity.low is not None or capacity.high is not None):
        raise CaseError(path, "has bounds but no rate", "give requests_per_s or tokens_per_s with low and high")
    if given:
        low = given[0] if capacity.low is None else capacity.low
        high = given[0] if capacity.high is None else capacity.high
        if not low <= given[0] <= high:
            raise CaseError(path, f"has low {low}, value {given[0]}, high {high}", "must be low <= value <= high")


def _check_hardware(path: str, option: SelfHostOption) -> None:
    hardware = option.hardware
    owned = hardware.plan == "owned"
    if owned != bool(hardware.purchase_usd):
        remedy = "give what a replica's hardware costs" if owned else 'leave it out, or set "plan": "owned"'
        raise CaseError(f"{path}/purchase_usd", f"is {hardware.purchase_usd} under plan {hardware.plan}", remedy)
    if hardware.spot and hardware.plan != "spot":
        raise CaseError(f"{path}/spot", f"is given under plan {hardware.plan}", 'belongs to "plan": "spot"')
    if not owned:
        _refuse_standing_costs(path, option.hardware)
    elif hardware.commitment_months:
        found = f"is {hardware.commitment_months} under plan owned"
        raise CaseError(f"{path}/commitment_months", found, "leave it out: what is owned has useful_life_months")
    term = TERM_MONTHS.get(hardware.plan)
    if term and hardware.commitment_months not in (0, term):
        found = f"is {hardware.commitment_months} under plan {hardware.plan}"
        raise CaseError(f"{path}/commitment_months", found, f"must be {term}, or left out")


def _refuse_standing_costs(path: str, hardware: Hardware) -> None:
    """Power and a rack come with a rent; counted beside it they would be paid twice."""
    for field in ("power_kw", "colocation_usd_per_month", "residual_share"):
        value = getattr(hardware, field)
        if value:
            raise CaseError(f"{path}/{field}", f"is {value} under plan {hardware.plan}", 'belongs to "plan": "owned"')


def _check_scaling(path: str, case: Case, option: SelfHostOption) -> None:
    scaling = option.scaling
    if scaling.max_replicas is not None and scaling.max_replicas < scaling.min_replicas:
        found = f"is {scaling.max_replicas}, below min_replicas {scaling.min_replicas}"
        raise CaseError(f"{path}/max_replicas", found, "must be at least min_replicas")
    if (scaling.policy == "window") != (scaling.window_hours_per_day is not None):
        found = f"is {'missing' if scaling.window_hours_per_day is None else 'given'} under policy {scaling.policy}"
        raise CaseError(f"{path}/window_hours_per_day", found, "give it under policy window and nowhere else")
    if scaling.policy == "window" and case.workload.batchable_share != 1:
        found = f"is window, but batchable_share is {case.workload.batchable_share}"
        raise CaseError(f"{path}/policy", found, "a window serves only work that can all wait: batchable_share 1")
    if scaling.keep_warm and scaling.policy != "scale_to_zero":
        found = f"is {scaling.keep_warm} under policy {scaling.policy}"
        raise CaseError(f"{path}/keep_warm", found, 'belongs to "policy": "scale_to_zero"; use min_replicas')


def _check_uncertainty(case: Case) -> None:
    allowed = uncertain_pointers(case)
    for pointer, bounds in case.uncertainty.items():
        path = f"/uncertainty/{pointer.replace('~', '~0').replace('/', '~1')}"
        if pointer not in allowed:
            raise CaseError(path, _what_is_wrong(case, pointer), f"point at one of {', '.join(allowed[:3])}, …")
        if not bounds[0] <= bounds[1] <= bounds[2]:
            raise CaseError(path, f"is {', '.join(map(str, bounds))}", "must be low <= mode <= high")
        quantity = _bounds_of(case, pointer)
        if quantity:
            _check_bounds(path, quantity, bounds)


def _what_is_wrong(case: Case, pointer: str) -> str:
    try:
        pointed(case, pointer)
    except LookupError:
        return "points at nothing"
    return "points at something that is set, not uncertain"


def _bounds_of(case: Case, pointer: str) -> Quantity | None:
    """None for a number of a price list or record that is still to be resolved."""
    try:
        return PEAK_RATIO if pointer == peak_pointer(case) else pointed(case, pointer).quantity
    except LookupError:
        return None


def _check_bounds(path: str, quantity: Quantity, bounds: tuple[Decimal, ...]) -> None:
    for bound in bounds:
        try:
            quantity.check(bound)
        except PydanticCustomError:
            raise CaseError(path, f"has {bound}", f"each must be {quantity.needed}") from None


def _check_evidence(case: Case) -> None:
    for pointer in case.evidence:
        try:
            pointed(case, pointer)
        except LookupError:
            path = f"/evidence/{pointer.replace('~', '~0').replace('/', '~1')}"
            raise CaseError(path, "points at nothing", "give the path of a field of this case") from None
