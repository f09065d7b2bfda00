"""A base that is rented by the hour and follows the day: how many of its replicas pay in each hour of the week.

Replayed for many draws and months at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from costadvisor.economics.demand import Floats
from costadvisor.economics.fleet import TOLERANCE
from costadvisor.economics.hour_blocks import add_hours, hour_blocks, hours_at_once
from costadvisor.economics.months import Months


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
    block = hours_at_once(months.shape)
    hours, started, over = (np.zeros(months.shape) for _ in range(3))
    load, scratch, replicas = (np.zeros((block + extra, *months.shape)) for extra in (0, 0, 1))
    for walked, times in hour_blocks(months.pairs, block):
        part, now, before = load[: len(walked)], replicas[1 : len(walked) + 1], replicas[: len(walked)]
        np.multiply(loads, months.week.T[walked][:, :, None], out=part)
        rule.replicas(part, now)
        change = np.subtract(now, before, out=scratch[: len(walked)])
        add_hours(started, np.maximum(change, 0.0, out=change), times)
        np.subtract(part, now, out=part)
        add_hours(over, np.maximum(part, 0.0, out=part), times)
        replicas[0] = now[-1]
        add_hours(hours, now, times)
    peaks, troughs = months.week.max(axis=1), months.week.min(axis=1)
    return PayingWeek(hours, started, over, rule.at(loads * peaks[:, None]), rule.at(loads * troughs[:, None]))
