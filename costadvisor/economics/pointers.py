"""JSON pointers into a case, with options by id: `/options/h100/hardware/usd_per_hour`."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel

from costadvisor.economics.case import Case
from costadvisor.economics.options import Option
from costadvisor.economics.quantities import Quantity

SHARED_INPUTS = (
    "/drift/api_price_per_year",
    "/drift/gpu_price_per_year",
    "/workload/requests_per_month",
    "/workload/input_tokens/mean",
    "/workload/output_tokens/mean",
    "/workload/cached_input_share",
    "/workload/batchable_share",
    "/workload/growth_per_month",
)
OPTION_INPUTS = {
    "api": (
        "prices/input_usd_per_mtok",
        "prices/cached_input_usd_per_mtok",
        "prices/output_usd_per_mtok",
        "prices/batch_discount",
        "prices/usd_per_request",
        "reconciliation_factor",
    ),
    "self_host": (
        "hardware/usd_per_hour",
        "hardware/purchase_usd",
        "hardware/residual_share",
        "hardware/power_kw",
        "hardware/usd_per_kwh",
        "hardware/colocation_usd_per_month",
        "capacity/requests_per_s",
        "capacity/tokens_per_s",
        "scaling/cold_start_s",
        "operations/fte",
        "operations/usd_per_fte_year",
        "operations/usd_per_month",
        "operations/overhead_share",
        "operations/setup_usd",
    ),
    "hybrid": (),
    "routed": ("small_share",),
    "provisioned": ("usd_per_unit_hour", "requests_per_s_per_unit"),
}


@dataclass(frozen=True)
class Pointed:
    """What a pointer points at: its value (None where it is left to be resolved) and its bounds."""

    value: Any
    quantity: Quantity | None


def uncertain_pointers(case: Case) -> tuple[str, ...]:
    """The pointers of every number of this case that may be given as low, mode and high."""
    own = (f"/options/{option.id}/{field}" for option in case.options for field in OPTION_INPUTS[option.kind])
    return (*SHARED_INPUTS, peak_pointer(case), *own)


def peak_pointer(case: Case) -> str:
    """The ratio of the peak hour to the mean: of a flat week and of 168 weights, the shape itself stands for it."""
    shape = "/workload/hourly_shape"
    return f"{shape}/peak_to_mean" if isinstance(case.workload.hourly_shape, BaseModel) else shape


def pointed(case: Case, pointer: str) -> Pointed:
    """What is at the pointer; LookupError where there is nothing."""
    here: Any = case
    quantity: Quantity | None = None
    for step in _steps(pointer):
        here, quantity = _inside(here, step)
    return Pointed(here, quantity)


@lru_cache(maxsize=4096)
def _steps(pointer: str) -> tuple[str, ...]:
    root, *steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))
    if root or not steps:
        raise LookupError(pointer)
    return tuple(steps)


def option_by_id(case: Case, id_: str) -> Option:
    """LookupError where no option has that id."""
    for option in case.options:
        if option.id == id_:
            return option
    raise LookupError(id_)


def _inside(here: Any, step: str) -> tuple[Any, Quantity | None]:
    if isinstance(here, Case) and step == "options":
        return here.options, None
    if isinstance(here, BaseModel):
        return _field(here, step)
    if isinstance(here, dict):
        return here[step], None
    if isinstance(here, tuple):
        return _item(here, step), None
    raise LookupError(step)


def _field(part: BaseModel, name: str) -> tuple[Any, Quantity | None]:
    attribute, quantity = _fields(type(part))[name]
    return getattr(part, attribute), quantity


@cache
def _fields(part: type[BaseModel]) -> dict[str, tuple[str, Quantity | None]]:
    """By name in JSON: the attribute and the bounds of each field."""
    return {
        field.alias or attribute: (
            attribute,
            next((known for known in field.metadata if isinstance(known, Quantity)), None),
        )
        for attribute, field in part.model_fields.items()
    }


def _item(items: tuple[Any, ...], step: str) -> Any:
    """An option by its id, anything else by its place."""
    for item in items:
        if getattr(item, "id", None) == step:
            return item
    if not step.isdigit() or hasattr(items[0] if items else None, "id"):
        raise LookupError(step)
    return items[int(step)]
