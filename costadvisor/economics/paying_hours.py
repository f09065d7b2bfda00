"""A base that is rented by the hour and follows the day: how many of its replicas pay in each hour of the week.

Replayed for many draws and months at once, in blocks of hours that fit a processor's cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from costadvisor.economics.demand import Floats
from costadvisor.economics.fleet import TOLERANCE
from costadvisor.economics.months import CHUNK_CELLS, Months, Pairs


@dataclass(frozen=True)
class PayingWeek:
    """A week of each month, (draws, months): replica-hours, replicas started, what they leave over in replica-hours,
    and the most and the least replicas at once."""

    replica_hours: Floats
    starts: Floats
    over_hours: Floats
    most: Floats
    least: Floats


@dataclass(frozen=True)
class PayingRule:
    """USD that a full replica takes from the API in an hour, and that it costs, (draws, months); a tie does not pay."""

    displaces_usd: Floats
    costs_usd: Floats
    least: float
    most: float

    @cached_property
    def worth_it_above(self) -> Floats:
        """How full a replica must be to pay; none does where not even a full one is worth it."""
        pays = self.displaces_usd > self.costs_usd
        share = self.costs_usd * (1 + TOLERANCE) / np.where(pays, self.displaces_usd, 1.0)
        return np.where(pays, share, np.inf)

    def replicas(self, loads: Floats, out: Floats) -> None:
        """Of loads (…, draws, months): all full ones, and one more where what is left over is worth it."""
        np.subtract(loads, self.worth_it_above, out=out)
        np.ceil(out, out=out)
        np.maximum(out, self.least, out=out)
        if np.isfinite(self.most):
            np.minimum(out, self.most, out=out)

    def at(self, loads: Floats) -> Floats:
        found = np.empty(np.broadcast_shapes(loads.shape, self.worth_it_above.shape))
        self.replicas(loads, found)
        return found


def paying_week(rule: PayingRule, loads: Floats, months: Months) -> PayingWeek:
    """`loads` are of the mean hour with headroom, in replicas, (draws, months)."""
    block = max(1, CHUNK_CELLS // (months.shape[0] * months.shape[1]))
    hours, started, over = (np.zeros(months.shape) for _ in range(3))
    load, scratch, replicas = (np.empty((block + extra, *months.shape)) for extra in (0, 0, 1))
    for walked, times in _blocks(months.pairs, block):
        # The first row is the last of the block before: replicas of the hour before stand above those of the hour.
        part, now, before = load[: len(walked)], replicas[1 : len(walked) + 1], replicas[: len(walked)]
        np.multiply(loads, months.week.T[walked][:, :, None], out=part)
        rule.replicas(part, now)
        change = np.subtract(now, before, out=scratch[: len(walked)])
        _add(started, np.maximum(change, 0.0, out=change), times)
        np.subtract(part, now, out=part)
        _add(over, np.maximum(part, 0.0, out=part), times)
        replicas[0] = now[-1]
        _add(hours, now, times)
    peaks, troughs = months.week.max(axis=1), months.week.min(axis=1)
    return PayingWeek(hours, started, over, rule.at(loads * peaks[:, None]), rule.at(loads * troughs[:, None]))


def _add(total: Floats, rows: Floats, times: Floats) -> None:
    """Each hour's row as often as it comes in a week; the rows are used up."""
    if np.any(times != 1):
        rows *= times[:, None, None]
    total += rows[0] if len(rows) == 1 else rows.sum(axis=0)


def _blocks(pairs: Pairs, block: int) -> Iterator[tuple[list[int], Floats]]:
    """Hours in order and how often each counts: behind each stands the hour before it, which may count for nothing."""
    hours, times = list[int](), list[int]()
    for hour, hour_before, often in pairs:
        if not hours or hours[-1] != hour_before:
            hours.append(hour_before)
            times.append(0)
        hours.append(hour)
        times.append(often)
    for start in range(0, len(hours), block):
        yield hours[start : start + block], np.array(times[start : start + block], dtype=np.float64)
