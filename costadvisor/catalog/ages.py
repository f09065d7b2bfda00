"""How old a fact may be before whoever leans on it is told. Prices of rents move within weeks; list prices and hosts' too."""

from datetime import date

PRICE_MAX_AGE_DAYS = 45


def age_days(as_of: date, on: date) -> int:
    """Never negative: a fact read later than `on` is not old then."""
    return max((on - as_of).days, 0)


def is_stale(as_of: date, on: date, max_age_days: int = PRICE_MAX_AGE_DAYS) -> bool:
    return age_days(as_of, on) > max_age_days
