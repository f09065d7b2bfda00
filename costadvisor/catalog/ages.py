"""How old a price may be before whoever leans on it is told to check it: rents of GPUs moved by a tenth in weeks."""

from datetime import date
from typing import Literal

from django.conf import settings

Kind = Literal["api", "gpu"]


def max_ages_days() -> dict[str, int]:
    """By kind of price, as the installation sets it: PRICE_MAX_AGE_API_DAYS, PRICE_MAX_AGE_GPU_DAYS."""
    return dict(settings.PRICE_MAX_AGE_DAYS)


def age_days(as_of: date, on: date) -> int:
    """Never negative: a fact read later than `on` is not old then."""
    return max((on - as_of).days, 0)


def is_stale(as_of: date, on: date, kind: Kind) -> bool:
    return age_days(as_of, on) > max_ages_days()[kind]
