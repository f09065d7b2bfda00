"""How old a price may be before whoever leans on it is told to check it: rents of GPUs moved by a tenth in weeks."""

from datetime import date

PRICE_MAX_AGE_DAYS = 45


def age_days(as_of: date, on: date) -> int:
    """Never negative: a fact read later than `on` is not old then."""
    return max((on - as_of).days, 0)


def is_stale(as_of: date, on: date, max_age_days: int = PRICE_MAX_AGE_DAYS) -> bool:
    return age_days(as_of, on) > max_age_days
