"""A walk through the hours of a week that differ, several at once, as many as fit a processor's cache.

Who walks keeps an array of a row more than the block: replicas of the hour before stand above those of the hour, and
the last row of a block is the first of the next.
"""

from collections.abc import Iterator

import numpy as np

from costadvisor.economics.demand import Floats
from costadvisor.economics.months import CHUNK_CELLS, Pairs


def hours_at_once(shape: tuple[int, ...]) -> int:
    """How many arrays (draws, months) stay in the cache together."""
    return max(1, CHUNK_CELLS // int(np.prod(shape)))


def hour_blocks(pairs: Pairs, block: int) -> Iterator[tuple[list[int], Floats | None]]:
    """Hours in order and how often each counts, None where all count once: behind each stands the hour before it, which
    may count for nothing."""
    hours, times = list[int](), list[int]()
    for hour, hour_before, often in pairs:
        if not hours or hours[-1] != hour_before:
            hours.append(hour_before)
            times.append(0)
        hours.append(hour)
        times.append(often)
    for start in range(0, len(hours), block):
        often_each = times[start : start + block]
        once = all(often == 1 for often in often_each)
        yield hours[start : start + block], None if once else np.array(often_each, dtype=np.float64)


def add_hours(total: Floats, rows: Floats, times: Floats | None) -> None:
    """Each hour's row as often as it comes in a week; the rows are used up."""
    if times is not None:
        rows *= times[:, None, None]
    total += rows[0] if len(rows) == 1 else rows.sum(axis=0)
