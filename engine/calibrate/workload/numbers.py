"""Numbers of a workload file, checked."""

import sys
from typing import Any

from engine.errors import InputError

MOST_TOKENS = 10_000_000  # of a prompt or an answer


def whole_tokens(name: str, value: Any) -> int:
    """A whole number of tokens; raises InputError for anything else."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value // 1
        or not 1 <= value <= MOST_TOKENS
    ):
        raise InputError(
            f"{name} is {value!r}; it must be a whole number of tokens, at least 1 and at most {MOST_TOKENS:,}"
        )
    return int(value)


def positive(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value <= MOST_TOKENS or value != int(value):
        raise InputError(
            f"{name} is {value!r}; it must be a whole number of tokens, at least 1 and at most {MOST_TOKENS:,}"
        )
    return int(value)


def positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InputError(f"{name} is {value!r}; it must be a number above 0")
    return float(value)
