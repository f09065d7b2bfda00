"""What one reading of a price list said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from costadvisor.catalog.facts import ApiPrice, GpuOffer
from costadvisor.catalog.recorded import Name


class UnreadableError(Exception):
    """A price list that cannot be had, or not be trusted; `str()` is one line for a person."""


@dataclass(frozen=True)
class Reading:
    """`prices` begin on `as_of`: a day that the list states, else the day it was read. `known` is how many prices of
    this kind the catalog has, of which a list that is whole says most."""

    source: str
    origin: str
    sha256: str
    read_on: date
    prices: Mapping[Name, ApiPrice] = field(default_factory=dict)
    offers: tuple[GpuOffer, ...] = ()
