"""Where in an option a form's field stands: one list serves what a form shows first, what it stores and its errors."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from costadvisor.economics.options import (
    ApiOption,
    Hardware,
    Latency,
    Operations,
    ProvisionedOption,
    RoutedOption,
    Scaling,
    Spot,
)
from costadvisor.economics.quantities import Quantity

Json = dict[str, Any]

# Where a case's own defaults are; an option without a part has all of that part's.
_PARTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "hardware/spot": (Spot,),
    "hardware": (Hardware,),
    "scaling": (Scaling,),
    "operations": (Operations,),
    "latency": (Latency,),
    "": (ProvisionedOption, ApiOption, RoutedOption),
}


@dataclass(frozen=True)
class Place:
    """`scale` is how many of the field's units make one of the option's: 100 for a share shown in percent."""

    path: str
    scale: int = 1

    def read(self, option: Mapping[str, Any]) -> Any:
        """As the field shows it; None where the option leaves it out."""
        here: Any = option
        for step in self.path.split("/"):
            here = here.get(step) if isinstance(here, Mapping) else None
        return None if here is None else self._shown(here)

    @property
    def default(self) -> Any:
        """What stands where an option leaves it out, as the field shows it; None without a default."""
        known = self._field
        value = None if known is None or known.is_required() else known.default
        return None if value is None else self._shown(value)

    @property
    def quantity(self) -> Quantity | None:
        """What a case allows here, in its own units; None where that is an amount, or not known before it is read."""
        known = self._field
        return next((found for found in known.metadata if isinstance(found, Quantity)), None) if known else None

    @property
    def _field(self) -> FieldInfo | None:
        part, _, last = self.path.rpartition("/")
        return next((kind.model_fields[last] for kind in _PARTS.get(part, ()) if last in kind.model_fields), None)

    def put(self, option: Json, value: Any) -> None:
        """Into an option of our own; None takes it out."""
        *way, last = self.path.split("/")
        empty = value is None or value == ""
        here = option
        for step in way:
            if not isinstance(here.get(step), dict):
                if empty:
                    return
                here[step] = {}
            here = here[step]
        if empty:
            here.pop(last, None)
        else:
            here[last] = self._stored(value)

    def _shown(self, value: Any) -> Any:
        """Numbers exactly, whether they were written as text, as money is, or not."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            return value
        if isinstance(value, str) and "usd" not in self.path:
            return value
        return Decimal(format((Decimal(str(value)) * self.scale).normalize(), "f"))

    def _stored(self, value: Any) -> Any:
        if isinstance(value, str | bool):
            return value
        if "usd" in self.path:
            return format(value, "f")
        exact = Decimal(str(value)) / self.scale
        return int(exact) if exact == exact.to_integral_value() else float(exact)


def merged(option: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """A copy with `over` on top, part by part."""
    changed = deepcopy(dict(option))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(changed.get(key), Mapping)
        changed[key] = merged(changed[key], value) if both else deepcopy(value)
    return changed


def with_fields(option: Mapping[str, Any], places: Mapping[str, Place], values: Mapping[str, Any]) -> Json:
    """A copy with these fields' values in their places."""
    changed = deepcopy(dict(option))
    for name, value in values.items():
        places[name].put(changed, value)
    return changed
