"""The kinds of number in a case, each with its bounds, its words for what is right and its JSON Schema.

Numbers are kept as Decimal, exactly as written. Money may come as a string or as a number.
"""

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

MONEY_DECIMALS = 15
AMOUNT = r"[0-9]{1,12}(\.[0-9]{1,15})?$"
LARGEST = 10**15


@dataclass(frozen=True)
class Quantity:
    """Bounds of a number: `low` and `high` are allowed themselves, `above` is not."""

    needed: str
    low: int | None = None
    above: int | None = None
    high: int = LARGEST
    whole: bool = False
    money: bool = False

    def check(self, value: object) -> Decimal | int:
        """The number, exact; raises PydanticCustomError that says what would be right."""
        number = self._read(value)
        if number is None or not self._inside(number):
            raise PydanticCustomError("quantity", "must be {needed}", {"needed": self.needed})
        return int(number) if self.whole else number

    def _read(self, value: object) -> Decimal | None:
        if isinstance(value, str):
            return Decimal(value) if self.money and re.match(self._pattern, value) else None
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return None
        if isinstance(value, Decimal) and self.money:
            return value if value.is_finite() and _decimals(value) <= MONEY_DECIMALS else None
        if self.whole and isinstance(value, int):
            return Decimal(value)
        number = _exact(value)
        # A double that was computed has digits beyond any amount; they would not survive being written.
        return round(number, MONEY_DECIMALS) if self.money and number and _decimals(number) > MONEY_DECIMALS else number

    @property
    def _pattern(self) -> str:
        return ("^" if self.low == 0 else "^-?") + AMOUNT

    def _inside(self, number: Decimal) -> bool:
        return (
            (self.low is None or number >= self.low)
            and (self.above is None or number > self.above)
            and number <= self.high
            and (not self.whole or number == number.to_integral_value())
        )

    def _write(self, value: Decimal | int) -> str | int | float:
        if self.money:
            return format(Decimal(value).normalize(), "f")
        return int(value) if value == int(value) else float(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.check, serialization=core_schema.plain_serializer_function_ser_schema(self._write)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        bounds = {"minimum": self.low, "exclusiveMinimum": self.above, "maximum": self.high}
        number: dict[str, Any] = {"type": "integer" if self.whole else "number"}
        number |= {word: bound for word, bound in bounds.items() if bound is not None}
        return {"anyOf": [number, {"type": "string", "pattern": self._pattern}]} if self.money else number


def _decimals(number: Decimal) -> int:
    return -int(number.as_tuple().exponent)


def _exact(value: int | float | Decimal) -> Decimal | None:
    """The shortest decimal that reads back as the same double: what a person wrote, whatever carried it."""
    try:
        double = float(value)
    except OverflowError:
        return None
    return Decimal(repr(double)).normalize() + 0 if math.isfinite(double) else None


Money = Annotated[Decimal, Quantity("an amount in USD, 0 or more, such as 2.50", low=0, high=10**12, money=True)]
Share = Annotated[Decimal, Quantity("a share from 0 to 1", low=0, high=1)]
NonNegative = Annotated[Decimal, Quantity("a number, 0 or more", low=0)]
Positive = Annotated[Decimal, Quantity("a number above 0", above=0)]
AtLeastOne = Annotated[Decimal, Quantity("a number, 1 or more", low=1)]
# Above -1: nothing can lose more than all of its price or volume.
Rate = Annotated[Decimal, Quantity("a rate such as -0.05, above -1 and at most 1", above=-1, high=1)]
Interest = Annotated[Decimal, Quantity("a rate a year such as 0.10, from 0 to 1", low=0, high=1)]
# A day has 24 hours, so its busiest cannot hold more than 24 times the mean.
PEAK_RATIO = Quantity("a ratio from 1 to 24", low=1, high=24)
PeakRatio = Annotated[Decimal, PEAK_RATIO]
HoursPerMonth = Annotated[Decimal, Quantity("hours, above 0 and at most 744", above=0, high=744)]
HoursPerDay = Annotated[Decimal, Quantity("hours, above 0 and at most 24", above=0, high=24)]
Count = Annotated[int, Quantity("a whole number, 0 or more", low=0, high=10**6, whole=True)]
CountFromOne = Annotated[int, Quantity("a whole number, 1 or more", low=1, high=10**6, whole=True)]
Months = Annotated[int, Quantity("a whole number of months, 0 to 120", low=0, high=120, whole=True)]
MonthsFromOne = Annotated[int, Quantity("a whole number of months, 1 to 120", low=1, high=120, whole=True)]
PriceDays = Annotated[int, Quantity("a whole number of days, 1 to 3650", low=1, high=3650, whole=True)]
Seed = Annotated[int, Quantity("a whole number, 0 or more, below 2^53", low=0, high=2**53 - 1, whole=True)]
Draws = Annotated[int, Quantity("a whole number, 1 to 100000", low=1, high=100_000, whole=True)]
UncertaintyBound = Annotated[Decimal, Quantity("a number, or money as a string", low=-LARGEST, money=True)]
HourFrom = Annotated[int, Quantity("an hour of the day, 0 to 23", low=0, high=23, whole=True)]
HourTo = Annotated[int, Quantity("an hour of the day, 1 to 24", low=1, high=24, whole=True)]
SampleSize = Annotated[int, Quantity("a whole number of samples, 1 or more", low=1, high=10**9, whole=True)]


def _day(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("quantity", "must be {needed}", {"needed": "a day such as 2026-11-01"})


Day = Annotated[date, BeforeValidator(_day)]
