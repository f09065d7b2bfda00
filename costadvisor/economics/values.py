"""Where the equations read their numbers: exact from the case, or as drawn.

The equations in `costs` use a number by its pointer and are the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats
from costadvisor.economics.pointers import peak_pointer, pointed


class Values(Protocol):
    """Numbers by pointer. `Any` stands for Decimal, float or an array (draws,): the arithmetic is the same."""

    def __call__(self, pointer: str) -> Any: ...

    def constant(self, number: Decimal) -> Any:
        """A number that is never drawn, in this kind of arithmetic."""
        ...


@dataclass(frozen=True)
class Exact:
    """The case's own numbers, as Decimal."""

    case: Case

    def __call__(self, pointer: str) -> Decimal:
        value = pointed(self.case, pointer).value
        return Decimal(0) if value is None else value

    def constant(self, number: Decimal) -> Decimal:
        return number


@dataclass(frozen=True)
class Sample:
    """`draws` sets of numbers: arrays (draws,) for what is drawn, the case's own number for the rest.

    `replanned` says that fleets are planned on the capacity as drawn (it is known), not on the planning capacity.
    """

    case: Case
    draws: int = 1
    drawn: Mapping[str, Floats] = field(default_factory=dict)
    replanned: bool = False

    def __call__(self, pointer: str) -> Floats | float:
        if pointer in self.drawn:
            return self.drawn[pointer]
        value = pointed(self.case, pointer).value
        return 0.0 if value is None else float(value)

    def constant(self, number: Decimal) -> float:
        return float(number)

    @property
    def peak_to_mean(self) -> Floats | None:
        """None where the shape is the case's own."""
        return self.drawn.get(peak_pointer(self.case))

    def part(self, start: int, stop: int) -> "Sample":
        """Draws start to stop, as a sample of its own."""
        drawn = {pointer: values[start:stop] for pointer, values in self.drawn.items()}
        return Sample(self.case, stop - start, drawn, self.replanned)
