"""The uncertain inputs of a case: low, mode and high of each, and which of them move together.

Each default has its source in docs/how-it-decides.md. What the case gives by pointer replaces the default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.capacity import GRADE_BOUNDS, capacity_unit, resolved_capacity
from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats, week_weights
from costadvisor.economics.evidence import evidence_of
from costadvisor.economics.options import RoutedOption, SelfHostOption
from costadvisor.economics.pointers import option_by_id, peak_pointer, pointed, uncertain_pointers

Bounds = tuple[Decimal, Decimal, Decimal]

WELL_KNOWN = ("billed", "measured")


@dataclass(frozen=True)
class Input:
    """One uncertain number: triangular between low and high. Inputs of one stream share their quantile."""

    pointer: str
    stream: str
    low: float
    mode: float
    high: float

    def at(self, quantile: Floats) -> Floats:
        """The values (n,) at these quantiles (n,) of the triangular distribution."""
        width = self.high - self.low
        if width == 0:
            return np.full_like(quantile, self.mode)
        below = (self.mode - self.low) / width
        rising = self.low + np.sqrt(quantile * width * (self.mode - self.low))
        falling = self.high - np.sqrt((1 - quantile) * width * (self.high - self.mode))
        return np.where(quantile < below, rising, falling)

    def middle(self) -> float:
        """The median."""
        return float(self.at(np.array([0.5]))[0])


def uncertain_inputs(case: Case) -> tuple[Input, ...]:
    """Every number that is drawn, in the order of the case; what is certain by default is left out."""
    found = ((pointer, _bounds(case, pointer)) for pointer in uncertain_pointers(case))
    return tuple(
        Input(pointer, _stream(case, pointer), *(float(bound) for bound in bounds))
        for pointer, bounds in found
        if bounds and (bounds[0] < bounds[2] or pointer in case.uncertainty)
    )


def _bounds(case: Case, pointer: str) -> Bounds | None:
    if pointer in case.uncertainty:
        return case.uncertainty[pointer]
    default = _SHARED.get(pointer)
    if default:
        return default(case, _number(case, pointer))
    if pointer == peak_pointer(case):
        peak = Decimal(repr(float(week_weights(case.workload.hourly_shape).max())))
        return _times(peak, "0.85", "1", "1.5")
    return _of_option(case, pointer) if pointer.startswith("/options/") else None


def _number(case: Case, pointer: str) -> Decimal:
    return Decimal(pointed(case, pointer).value)


def _times(value: Decimal, low: str, mode: str, high: str) -> Bounds:
    return value * Decimal(low), value * Decimal(mode), value * Decimal(high)


def _around(value: Decimal, below: str, above: str) -> Bounds:
    """A rate and what is near it; never a loss of everything."""
    return max(value - Decimal(below), (value - 1) / 2), value, value + Decimal(above)


def _volume(case: Case, value: Decimal) -> Bounds:
    """A month that was billed or measured is known to a tenth; an assumed one to a factor of two."""
    evidence = evidence_of(case, "/workload/requests_per_month")
    known = evidence is not None and evidence.basis in WELL_KNOWN
    return _times(value, "0.9", "1", "1.1") if known else _times(value, "0.5", "1", "2")


def _cached(case: Case, value: Decimal) -> Bounds | None:
    """No cache today stays no cache; what is written to it is not read from it."""
    low, mode, high = _within_a_tenth(value)
    return (low, mode, min(high, 1 - case.workload.cache_write_input_share)) if value else None


def _within_a_tenth(share: Decimal) -> Bounds:
    tenth = Decimal("0.1")
    return max(share - tenth, Decimal(0)), share, min(share + tenth, Decimal(1))


_SHARED: dict[str, Callable[[Case, Decimal], Bounds | None]] = {
    "/drift/api_price_per_year": lambda case, value: _around(value, "0.15", "0.10"),
    "/drift/gpu_price_per_year": lambda case, value: _around(value, "0.20", "0.15"),
    "/workload/requests_per_month": _volume,
    "/workload/cached_input_share": _cached,
    "/workload/growth_per_month": lambda case, value: _around(value, "0.02", "0.04"),
}
_OF_OPTION = {
    "hardware/usd_per_hour": ("0.85", "1", "1.25"),
    "hardware/purchase_usd": ("0.85", "1", "1.25"),
    "requests_per_s_per_unit": GRADE_BOUNDS["D"],
    "operations/fte": ("0.6", "1", "2"),
    "operations/setup_usd": ("0.7", "1", "2"),
}


def _of_option(case: Case, pointer: str) -> Bounds | None:
    option_id, field = pointer.removeprefix("/options/").split("/", 1)
    option = option_by_id(case, option_id)
    if isinstance(option, RoutedOption):
        return _within_a_tenth(option.small_share)
    if field in _OF_OPTION:
        known = pointed(case, pointer).value
        return None if known is None else _times(known, *_OF_OPTION[field])
    if not isinstance(option, SelfHostOption):
        return None
    return _capacity(option) if field == f"capacity/{capacity_unit(resolved_capacity(option))}" else None


def _capacity(option: SelfHostOption) -> Bounds:
    """The measured interval where there is one, else the factors of the grade."""
    capacity = resolved_capacity(option)
    value = capacity.requests_per_s if capacity.tokens_per_s is None else capacity.tokens_per_s
    low, mode, high = _times(value or Decimal(0), *GRADE_BOUNDS[capacity.grade])
    if capacity.low is None and capacity.high is None:
        return low, mode, high
    stated = value or Decimal(0)
    return (
        min(low, stated) if capacity.low is None else capacity.low,
        stated,
        max(high, stated) if capacity.high is None else capacity.high,
    )


def _stream(case: Case, pointer: str) -> str:
    """What moves together: a GPU's market, a model's capacity on it, a provider's prices, the team's own estimates."""
    if not pointer.startswith("/options/"):
        return pointer
    option_id, field = pointer.removeprefix("/options/").split("/", 1)
    option = option_by_id(case, option_id)
    if isinstance(option, SelfHostOption):
        gpu = option.hardware.gpu.casefold()
        shared = {"hardware": f"{gpu}/{option.hardware.plan}", "capacity": f"{option.model.casefold()}/{gpu}"}
        return f"{field}/{shared.get(field.split('/')[0], 'team')}"
    return f"{field}/{option.provider.casefold()}" if option.kind in ("api", "provisioned") else pointer
