"""Own base, overflow to an API: how many replicas pay, and what the two cost together.

The n-th replica pays while what it takes from the API costs more there than the replica does. Overflow is convex in n,
so that this marginal rule finds the n of lowest total; it is then compared with n = 0, the API alone. A base that is
rented by the hour and follows the day applies the rule hour by hour; any other holds one n over the horizon.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from costadvisor.economics.capacity import planning_requests_per_s, sampled_requests_per_s
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.composition import base_of, paid_around_the_clock
from costadvisor.economics.costs import fleet_month
from costadvisor.economics.demand import SECONDS_PER_HOUR, Floats
from costadvisor.economics.evaluation import Hybrid, Marginal
from costadvisor.economics.figures import exact
from costadvisor.economics.flows import (
    Flow,
    api_flow,
    api_usd_per_month,
    everywhere,
    paid_monthly,
    replicas_flow,
    staff_flow,
    together,
)
from costadvisor.economics.months import Months, column, discount_factors, months_of
from costadvisor.economics.options import ApiOption, HybridOption, SelfHostOption
from costadvisor.economics.paying_hours import PayingRule, PayingWeek, paying_week
from costadvisor.economics.replay import Use, always_on, fleet_loads, hourly_loads
from costadvisor.economics.values import Sample

ROWS_BEFORE, ROWS_AFTER = 8, 3


@dataclass(frozen=True)
class ByTheHour:
    """A base that follows the day."""

    own: Flow
    overflow: Flow
    week: PayingWeek


@dataclass(frozen=True)
class Shared:
    """A hybrid in a chunk of draws; amounts are USD, (draws, months) unless said."""

    base: SelfHostOption
    overflow: ApiOption
    months: Months

    @property
    def hour_by_hour(self) -> bool:
        return self.base.scaling.policy == "scheduled" and not paid_around_the_clock(self.base)

    @cached_property
    def loads(self) -> Floats:
        return fleet_loads(self.base, self.months)

    @cached_property
    def usd_per_full_hour(self) -> Floats:
        """What the API charges for the requests that one replica serves in an hour."""
        one_replica = sampled_requests_per_s(self.months.sample, self.base) / (1 + float(self.base.scaling.headroom))
        requests = self.months.requests_per_s * self.months.hours * SECONDS_PER_HOUR
        return api_usd_per_month(self.overflow, self.months) / requests * column(one_replica) * SECONDS_PER_HOUR

    @cached_property
    def one_replica(self) -> Flow:
        """A replica from the first month to the last."""
        return replicas_flow(self.base, self.months, always_on(np.ones(self.months.shape), self.months))

    @cached_property
    def staff(self) -> Flow:
        return staff_flow(self.base, self.months)

    @cached_property
    def alone(self) -> Flow:
        """The API without a base."""
        return api_flow(self.overflow, self.months)

    @cached_property
    def least(self) -> int:
        return max(1, self.base.scaling.min_replicas)

    @property
    def most(self) -> float:
        limit = self.base.scaling.max_replicas
        return np.inf if limit is None else float(limit)

    def with_replicas(self, replicas: Floats) -> Flow:
        """The same number (draws,) in every hour."""
        over = np.zeros(np.broadcast_shapes(self.loads.shape, (replicas.size, 1)))
        for load, times in hourly_loads(self.loads, self.months):
            np.subtract(load, replicas[:, None], out=load)
            np.maximum(load, 0.0, out=load)
            over += load if times == 1 else load * times
        overflow = paid_monthly(self.months, over * self.months.weeks * self.usd_per_full_hour)
        one = self.one_replica
        own = Flow(one.first_month * replicas, one.cash * replicas[:, None], one.feasible)
        return together(self.months, (self.staff, own, overflow), everywhere(self.months))

    def displaced_usd(self, replicas: Floats) -> Floats:
        """(draws,) Discounted, what the last of so many replicas takes from the API over the horizon."""
        hours, times = [hour for hour, _, _ in self.months.pairs], [times for _, _, times in self.months.pairs]
        loads = self.loads[:, :, None] * self.months.week[:, None, hours]
        taken = np.clip(loads - (replicas[:, None, None] - 1), 0.0, 1.0) @ np.array(times, dtype=np.float64)
        return self.total(paid_monthly(self.months, taken * self.months.weeks * self.usd_per_full_hour))

    @cached_property
    def by_the_hour(self) -> "ByTheHour":
        return self.following_the_day()

    def following_the_day(self, at_most: float = np.inf) -> "ByTheHour":
        """The rule hour by hour, with at most so many replicas."""
        months, value = self.months, self.usd_per_full_hour
        hour_usd = column(fleet_month(self.base, months.sample, 1.0, 0.0).gpus) * months.gpu_price
        rule = PayingRule(value, months.full(hour_usd), min(self.least, at_most), min(self.most, at_most))
        week = paying_week(rule, self.loads, months)
        cold_start_s = column(months.sample(f"/options/{self.base.id}/scaling/cold_start_s"))
        start_hours = week.starts * cold_start_s / SECONDS_PER_HOUR
        use = Use(week.replica_hours * months.weeks, start_hours * months.weeks, week.most)
        return ByTheHour(
            replicas_flow(self.base, months, use), paid_monthly(months, week.over_hours * months.weeks * value), week
        )

    def own_and_overflow(self, replicas: Floats) -> Flow:
        """Base, people and what goes to the API."""
        if not self.hour_by_hour:
            return self.with_replicas(replicas)
        found = self.by_the_hour
        return together(self.months, (self.staff, found.own, found.overflow), everywhere(self.months))

    def total(self, flow: Flow) -> Floats:
        """(draws,) Discounted."""
        rate = self.months.sample.case.discount_rate_per_year
        usd: Floats = flow.cash @ discount_factors(rate, flow.cash.shape[1] - 1)
        return usd


def hybrid_replicas(shared: Shared) -> Floats:
    """(draws,) replicas of lowest total cost at these values; 0 where the API alone costs no more."""
    replicas = shared.by_the_hour.week.most[:, 0] if shared.hour_by_hour else _by_marginal_rule(shared)
    flow = shared.own_and_overflow(replicas)
    return np.where(shared.total(flow) < shared.total(shared.alone), replicas, 0.0)


def _by_marginal_rule(shared: Shared) -> Floats:
    """(draws,) The largest number whose last replica pays, by bisection: each takes less than the one before."""
    cost = shared.total(shared.one_replica)
    low = np.zeros(shared.months.sample.draws)
    high = np.ceil((shared.loads * shared.months.week.max(axis=1)[:, None]).max(axis=1))
    while np.any(low < high):
        middle = np.ceil((low + high) / 2)
        pays = shared.displaced_usd(middle) > cost
        low, high = np.where(pays, middle, low), np.where(pays, high, middle - 1)
    return np.clip(low, shared.least, shared.most)


def hybrid_flow(option: HybridOption, months: Months, planned: int) -> Flow:
    """The base as planned, or where the sample says so planned at its values; overflow takes the rest."""
    shared, sample = _shared(months.sample.case, option, months), months.sample
    replicas = np.full(sample.draws, float(planned))
    if np.any(sample.replanned):
        replicas = np.where(sample.replanned, hybrid_replicas(shared), replicas)
    alone = shared.alone
    if not replicas.any():
        return alone
    own, pays = shared.own_and_overflow(replicas), replicas > 0
    only_api = np.zeros(own.cash.shape)
    only_api[:, : alone.cash.shape[1]] = alone.cash
    first_month = np.where(pays, own.first_month, alone.first_month)
    return Flow(first_month, np.where(pays[:, None], own.cash, only_api), everywhere(months))


def planned_replicas(case: Case, option: HybridOption) -> int:
    """At the case's own values; 0 where the hybrid does not pay, or its base has no capacity inside the SLO."""
    base, _ = base_of(case, option)
    if planning_requests_per_s(case, base) <= 0:
        return 0
    return int(hybrid_replicas(planned_hybrid(case, option))[0])


def planned_hybrid(case: Case, option: HybridOption) -> Shared:
    """At the case's own values."""
    return _shared(case, option, months_of(Sample(case)))


def _shared(case: Case, option: HybridOption, months: Months) -> Shared:
    base, overflow = base_of(case, option)
    return Shared(base, overflow, months)


def hybrid_table(case: Case, option: HybridOption) -> Hybrid:
    """Around the number chosen: what each further replica takes from the API and costs, discounted over the horizon."""
    chosen, shared = planned_replicas(case, option), planned_hybrid(case, option)
    first = max(1, chosen - ROWS_BEFORE)
    most = int(min(shared.most, chosen + ROWS_AFTER))
    rows = [_alone(shared), *(_marginal(shared, n) for n in range(first, most + 1))]
    return Hybrid(option=option.id, replicas=chosen, marginal=tuple(rows))


def _alone(shared: Shared) -> Marginal:
    zero, total = exact(0.0), exact(float(shared.total(shared.alone)[0]))
    return Marginal(n=0, displaces_usd=zero, costs_usd=zero, fixed_usd=zero, tco_usd=total)


def _marginal(shared: Shared, n: int) -> Marginal:
    fixed = shared.total(shared.staff)
    if shared.hour_by_hour:
        now, before = shared.following_the_day(n), shared.following_the_day(n - 1)
        displaced = shared.total(before.overflow) - shared.total(now.overflow)
        costs = shared.total(now.own) - shared.total(before.own)
        total = fixed + shared.total(now.own) + shared.total(now.overflow)
    else:
        number = np.array([float(n)])
        displaced, costs = shared.displaced_usd(number), shared.total(shared.one_replica)
        total = shared.total(shared.with_replicas(number))
    displaced_usd, costs_usd, fixed_usd, tco_usd = (exact(float(usd[0])) for usd in (displaced, costs, fixed, total))
    return Marginal(n=n, displaces_usd=displaced_usd, costs_usd=costs_usd, fixed_usd=fixed_usd, tco_usd=tco_usd)


@dataclass(frozen=True)
class BaseWeek:
    """Month 1's week of a base as planned: the most and the least replicas; `overflow_share` is of all requests."""

    replicas: int
    least: int
    replica_hours: float
    starts: float
    overflow_share: float
    utilization: float


def base_week(case: Case, option: HybridOption) -> BaseWeek | None:
    """None where the hybrid does not pay."""
    replicas, shared = planned_replicas(case, option), planned_hybrid(case, option)
    if not replicas:
        return None
    load_hours = sum(float(load[0, 0]) * times for load, times in hourly_loads(shared.loads, shared.months))
    if shared.hour_by_hour:
        week = shared.by_the_hour.week
        known = (week.replica_hours, week.starts, week.over_hours, week.least)
        hours, starts, over, least = (float(values[0, 0]) for values in known)
    else:
        over = sum(
            max(float(load[0, 0]) - replicas, 0.0) * times for load, times in hourly_loads(shared.loads, shared.months)
        )
        hours, starts, least = float(replicas * WEEK_HOURS), 0.0, float(replicas)
    headroom = 1 + float(shared.base.scaling.headroom)
    return BaseWeek(replicas, int(least), hours, starts, over / load_hours, (load_hours - over) / headroom / hours)
