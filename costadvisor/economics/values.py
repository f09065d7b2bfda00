"""Where the equations read their numbers: exact from the case, or as drawn.

The equations in `costs` use a number by its pointer and are the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats
from costadvisor.economics.pointers import peak_pointer, pointed

VOLUME = "/workload/requests_per_month"


class Values(Protocol):
    """Numbers by pointer. `Any` stands for Decimal, float or an array (draws,): the arithmetic is the same."""

    def __call__(self, pointer: str) -> Any: ...

    def constant(self, number: Decimal) -> Any:
        """A number that is never drawn, in this kind of arithmetic."""
        ...


@dataclass(frozen=True)
class Exact:
    """The case's own numbers, as Decimal, with a share of its requests (any number of times them)."""

    case: Case
    share: Decimal = Decimal(1)

    def __call__(self, pointer: str) -> Decimal:
        value = pointed(self.case, pointer).value
        number = Decimal(0) if value is None else value
        return number * self.share if pointer == VOLUME else number

    def constant(self, number: Decimal) -> Decimal:
        return number


@dataclass(frozen=True)
class Sample:
    """`draws` sets of numbers: arrays (draws,) for what is drawn, the case's own number for the rest.

    `replanned`, (draws,) or one for all, says that fleets are planned on what is drawn (it is known by then), not on
    the planning capacity and at the case's own values. `constants` remembers what was looked up in the case.
    """

    case: Case
    draws: int = 1
    drawn: Mapping[str, Floats] = field(default_factory=dict)
    replanned: NDArray[np.bool_] | bool = False
    constants: dict[str, float] = field(default_factory=dict)

    def __call__(self, pointer: str) -> Floats | float:
        if pointer in self.drawn:
            return self.drawn[pointer]
        if pointer not in self.constants:
            value = pointed(self.case, pointer).value
            self.constants[pointer] = 0.0 if value is None else float(value)
        return self.constants[pointer]

    def constant(self, number: Decimal) -> float:
        return float(number)

    @property
    def peak_to_mean(self) -> Floats | None:
        """None where the shape is the case's own."""
        return self.drawn.get(peak_pointer(self.case))

    def part(self, start: int, stop: int) -> "Sample":
        """Draws start to stop, as a sample of its own."""
        drawn = {pointer: values[start:stop] for pointer, values in self.drawn.items()}
        replanned = self.replanned if isinstance(self.replanned, bool) else self.replanned[start:stop]
        return Sample(self.case, stop - start, drawn, replanned, self.constants)

    def with_share(self, share: Floats | float) -> "Sample":
        """With that share of the requests."""
        requests = np.broadcast_to(np.asarray(self(VOLUME) * share, dtype=np.float64), (self.draws,))
        return Sample(self.case, self.draws, {**self.drawn, VOLUME: requests}, self.replanned, self.constants)
