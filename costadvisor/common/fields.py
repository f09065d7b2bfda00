"""Money in the database, exact on SQLite and PostgreSQL alike."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    MoneyInteger = models.BigIntegerField[Decimal | None, Decimal | None]
else:
    MoneyInteger = models.BigIntegerField

PLACES = 9
LARGEST = Decimal(2**63 - 1).scaleb(-PLACES)  # about 9.2 billion


def billionths(amount: Decimal) -> Decimal:
    """`amount` as it can be stored: rounded to a billionth. Bills carry up to 30 decimals."""
    return amount.quantize(Decimal(1).scaleb(-PLACES), ROUND_HALF_EVEN)


class MoneyField(MoneyInteger):
    """A Decimal kept as whole billionths. SQLite has no decimal type, and sums of its floats drift by cents."""

    def from_db_value(self, value: Any, *_: object) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-PLACES)

    def to_python(self, value: Any) -> Any:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        return None if value is None else int(billionths(Decimal(value)).scaleb(PLACES))
