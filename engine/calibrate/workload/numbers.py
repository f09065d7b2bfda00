"""Numbers of a workload file, checked."""

import sys
from typing import Any

from engine.errors import InputError

MOST_TOKENS = 10_000_000  # of a prompt or an answer


def whole_tokens(name: str, value: Any) -> int:
    """A whole number of tokens; raises InputError for anything else."""
    if not _is_number(value) or not 1 <= value <= MOST_TOKENS or value != int(value):
        raise InputError(
            f"{name} is {value!r}; it must be a whole number of tokens, at least 1 and at most {MOST_TOKENS:,}"
        )
    return int(value)


def positive(name: str, value: Any) -> float:
    """A finite number above 0; raises InputError for anything else."""
    if not _is_number(value) or not 0 < value <= sys.float_info.max:
        raise InputError(f"{name} is {value!r}; it must be a number above 0")
    return float(value)


def share(name: str, value: Any) -> float:
    """From 0 up and under 1; raises InputError for anything else."""
    if not _is_number(value) or not 0 <= value < 1:
        raise InputError(f"{name} is {value!r}; it must be from 0 up and under 1")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
