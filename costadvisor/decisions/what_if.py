"""The main assumptions of a case, each a number that a page lets people turn. Pure.

A knob shows one number and may set several: what a person earns is the same for every fleet.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.text import slugify

from costadvisor.decisions.written import entered
from costadvisor.economics import Case
from costadvisor.economics.case import PeakToMean
from costadvisor.economics.names import option_id
from costadvisor.economics.options import SelfHostOption
from costadvisor.economics.pointers import pointed
from costadvisor.economics.quantities import PEAK_RATIO, Quantity

Json = Mapping[str, Any]
DIGITS_SHOWN = 6
PEAK = "/workload/hourly_shape/peak_to_mean"


@dataclass(frozen=True)
class Knob:
    """`field` is its name in forms and addresses; `scale` how many of the form's units make one of the case's."""

    group: str
    field: str
    label: str
    pointers: tuple[str, ...]
    scale: int = 1

    def touches(self, path: str) -> bool:
        """Whether an error at this path of a case is about this number."""
        return any((pointer + "/").startswith(path + "/") or path.startswith(pointer) for pointer in self.pointers)


def knobs(case: Case) -> tuple[Knob, ...]:
    """In the order of the page."""
    return (*_traffic(case), *_SPEED, *_fleets(case), *_MONEY)


def shown(case: Case, knob: Knob) -> Decimal | None:
    """The number as the form shows it, rounded for reading; None where it is not known or differs between options."""
    values = {_value(case, pointer) for pointer in knob.pointers}
    value = values.pop() if len(values) == 1 else None
    if value is None:
        return None
    scaled = value * knob.scale
    places = max(0, DIGITS_SHOWN - 1 - scaled.adjusted()) if scaled else 0
    return Decimal(format(round(scaled, places).normalize(), "f"))


def bounds(case: Case, knob: Knob) -> Quantity | None:
    """What a case allows here, in its own units."""
    pointer = knob.pointers[0]
    return PEAK_RATIO if pointer == PEAK else pointed(case, pointer).quantity


def turned(case: Json, changes: Mapping[Knob, Decimal], *, source: str) -> dict[str, Any]:
    """A copy of a written case with these numbers, in the form's units, on the word of `source`. One of an option that
    the case does not have, since somebody took it out, is left out."""
    changed: dict[str, Any] = deepcopy(dict(case))
    evidence = changed.setdefault("evidence", {})
    ids = {"", *(option["id"] for option in changed["options"])}
    for knob, number in changes.items():
        value = number / knob.scale
        for pointer in (pointer for pointer in knob.pointers if option_id(pointer) in ids):
            _put(changed, pointer, int(value) if value == value.to_integral_value() else float(value))
            evidence[_about(pointer)] = entered(source)
    return changed


def _traffic(case: Case) -> Iterator[Knob]:
    group = "Traffic"
    yield Knob(group, "requests_per_month", "Requests per month", ("/workload/requests_per_month",))
    yield Knob(group, "growth_percent", "Growth per month, %", ("/workload/growth_per_month",), 100)
    if not isinstance(case.workload.hourly_shape, tuple):
        yield Knob(group, "peak_to_mean", "Busiest hour against the mean hour", (PEAK,))
    yield Knob(group, "input_tokens", "Input tokens per request", ("/workload/input_tokens/mean",))
    yield Knob(group, "output_tokens", "Output tokens per request", ("/workload/output_tokens/mean",))
    yield Knob(group, "cached_input_percent", "Cached input, %", ("/workload/cached_input_share",), 100)
    yield Knob(group, "batchable_percent", "Requests that may wait a day, %", ("/workload/batchable_share",), 100)


_SPEED = (
    Knob("Speed, 95 % of requests", "ttft_p95_ms", "Time to first token, ms", ("/slo/ttft_p95_ms",)),
    Knob("Speed, 95 % of requests", "tpot_p95_ms", "Time per output token, ms", ("/slo/tpot_p95_ms",)),
)
_MONEY = (
    Knob("Time and prices", "horizon_months", "Horizon, months", ("/horizon_months",)),
    Knob("Time and prices", "discount_percent", "Discount rate, % a year", ("/discount_rate_per_year",), 100),
    Knob("Time and prices", "api_drift_percent", "API prices change, % a year", ("/drift/api_price_per_year",), 100),
    Knob("Time and prices", "gpu_drift_percent", "GPU prices change, % a year", ("/drift/gpu_price_per_year",), 100),
)


def _fleets(case: Case) -> Iterator[Knob]:
    fleets = [option for option in case.options if isinstance(option, SelfHostOption)]
    if not fleets:
        return
    group = "Own fleet"
    for gpu in dict.fromkeys(fleet.hardware.gpu for fleet in fleets):
        paths = tuple(f"/options/{fleet.id}/hardware/usd_per_hour" for fleet in fleets if fleet.hardware.gpu == gpu)
        yield Knob(group, f"usd_per_hour_{slugify(gpu).replace('-', '_')}", f"{gpu}, USD per replica-hour", paths)
    for field, label, inside, scale in (
        ("headroom_percent", "Headroom above the peak, %", "scaling/headroom", 100),
        ("spare_replicas", "Spare replicas", "scaling/spare_replicas", 1),
        ("fte", "People, full-time equivalents", "operations/fte", 1),
        ("usd_per_fte_year", "A full-time person, USD a year", "operations/usd_per_fte_year", 1),
        ("tools_usd_per_month", "Tools and monitoring, USD a month", "operations/usd_per_month", 1),
        ("setup_usd", "Setup, USD once", "operations/setup_usd", 1),
    ):
        yield Knob(group, field, label, tuple(f"/options/{fleet.id}/{inside}" for fleet in fleets), scale)


def _value(case: Case, pointer: str) -> Decimal | None:
    if pointer == PEAK:
        shape = case.workload.hourly_shape
        return shape.peak_to_mean if isinstance(shape, PeakToMean) else Decimal(1)
    value = pointed(case, pointer).value
    return None if value is None else Decimal(value)


def _put(case: dict[str, Any], pointer: str, value: float) -> None:
    """Sets a number, making the objects on the way that were left to their defaults."""
    *way, last = pointer.split("/")[1:]
    here: Any = case
    if way[:1] == ["options"]:
        here = next(option for option in case["options"] if option["id"] == way[1])
        way = way[2:]
    for step in way:
        if not isinstance(here.get(step), dict):
            here[step] = {}
        here = here[step]
    here[last] = value


def _about(pointer: str) -> str:
    """Where a case says how good a number is: of lengths and the week's shape, beside the whole."""
    return pointer.removesuffix("/mean").removesuffix("/peak_to_mean")
