"""Where serving it ourselves is cheaper than an API, in API dollars, requests and tokens a month.

The traffic is scaled with its mix and shape fixed, from $10 to $10M of API spend in month 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.cashflow import discount_factors
from costadvisor.economics.costs import MONTHS_PER_YEAR, api_month, fleet_month, week_hours
from costadvisor.economics.demand import SECONDS_PER_HOUR, Floats, hour_pairs
from costadvisor.economics.evaluation import BreakEven, Interval
from costadvisor.economics.figures import count, exact, prose_usd, rate_usd
from costadvisor.economics.fleet import MOST_REPLICAS, planned_week, served_weights
from costadvisor.economics.names import names_by_id
from costadvisor.economics.options import ApiOption, SelfHostOption
from costadvisor.economics.staircase import Cheaper, Staircase, cheaper_stretches
from costadvisor.economics.values import Exact

LOWEST_API_USD, HIGHEST_API_USD = 10.0, 10e6
MOST_INTERVALS = 20


@dataclass(frozen=True)
class Basis:
    """(months,) factors on volume and prices, discounted; one month for the running cost, or the whole horizon."""

    name: Literal["month_1", "horizon"]
    volume: Floats
    api_price: Floats
    gpu_price: Floats
    flat: Floats
    setup_counted: bool


def break_evens(case: Case, option: SelfHostOption, api: ApiOption) -> Iterator[BreakEven]:
    """Of month 1's running cost and of the horizon's total; none where no rate meets the SLO."""
    if planning_requests_per_s(case, option) <= 0:
        return
    requests = case.workload.requests_per_month
    usd_per_request = float(api_month(case, api, Exact(case)).total / requests)
    for basis in (_month_1(), _horizon(case)):
        fleet = _staircase(case, option, basis)
        line = usd_per_request * float(basis.volume @ basis.api_price)
        if line > 0:
            yield _Comparison(case, option, api, basis, fleet, line, usd_per_request).result()


def cost_gap(case: Case, option: SelfHostOption, api: ApiOption, requests_per_month: float) -> float:
    """Month 1's running cost of the fleet less the API's, at this volume, by pricing the month anew."""
    scale = requests_per_month / float(case.workload.requests_per_month)
    week = planned_week(case, option, volume=scale)
    if week is None:
        return np.inf
    own = fleet_month(option, Exact(case), *week_hours(case, option, week)).total
    return float(own) - float(api_month(case, api, Exact(case)).total) * scale


def _month_1() -> Basis:
    one = np.ones(1)
    return Basis("month_1", one, one, one, one, setup_counted=False)


def _horizon(case: Case) -> Basis:
    elapsed = np.arange(case.horizon_months)
    discount = discount_factors(case)
    years = elapsed / MONTHS_PER_YEAR
    return Basis(
        "horizon",
        np.power(1 + float(case.workload.growth_per_month), elapsed),
        np.power(1 + float(case.drift.api_price_per_year), years) * discount,
        np.power(1 + float(case.drift.gpu_price_per_year), years) * discount,
        discount,
        setup_counted=True,
    )


def _staircase(case: Case, option: SelfHostOption, basis: Basis) -> Staircase:
    hour = fleet_month(option, Exact(case), Decimal(1), Decimal(0))
    hours_in_week = float(case.hours_per_month) / WEEK_HOURS
    usd_per_replica_hour = float(hour.rent + hour.overhead) * hours_in_week
    weights, before, times = _groups(case, option)
    per_request = (1 + float(option.scaling.headroom)) / float(planning_requests_per_s(case, option))
    per_request /= float(case.hours_per_month) * SECONDS_PER_HOUR
    usd = np.outer(basis.gpu_price, times * usd_per_replica_hour)
    start = usd * float(option.scaling.cold_start_s) / SECONDS_PER_HOUR
    loads, loads_before = np.outer(basis.volume, weights * per_request), np.outer(basis.volume, before * per_request)
    if np.ptp(basis.volume) == 0:
        loads, loads_before = loads[0], loads_before[0]
        usd, start = usd.sum(axis=0), start.sum(axis=0)
    fixed = float(hour.people + hour.tools) * float(basis.flat.sum()) + option.scaling.spare_replicas * float(usd.sum())
    setup = float(option.operations.setup_usd) if basis.setup_counted else 0.0
    return Staircase(
        fixed + setup, loads.ravel(), usd.ravel(), loads_before.ravel(), start.ravel(), option.scaling.min_replicas
    )


def _groups(case: Case, option: SelfHostOption) -> tuple[Floats, Floats, Floats]:
    """Weight, weight of the hour before, and hours a week, of hours that are planned alike."""
    week = served_weights(case)
    if option.scaling.policy == "fixed":
        peak = week.max(keepdims=True)
        return peak, peak, np.array([float(WEEK_HOURS)])
    pairs = hour_pairs(case.workload.hourly_shape)
    return week[pairs.hour], week[pairs.before], pairs.times.astype(np.float64)


@dataclass(frozen=True)
class _Comparison:
    """One option against one API on one basis; volumes are in requests of month 1."""

    case: Case
    option: SelfHostOption
    api: ApiOption
    basis: Basis
    fleet: Staircase
    api_usd_per_request: float
    month_1_usd_per_request: float

    def result(self) -> BreakEven:
        lowest, highest, limit = self._range()
        found = cheaper_stretches(self.fleet, self.api_usd_per_request, lowest, highest)
        never = not found.stretches and self.fleet.usd_per_request >= self.api_usd_per_request
        open_ended = bool(found.stretches) and limit is None and found.stretches[-1][1] >= highest
        always_from = found.stretches[-1][0] if open_ended else None
        intervals = [
            self._interval(start, None if open_ended and place == len(found.stretches) else stop)
            for place, (start, stop) in enumerate(found.stretches, start=1)
        ]
        return BreakEven(
            option=self.option.id,
            versus=self.api.id,
            basis=self.basis.name,
            never=never,
            always_from_api_usd_per_month=None if always_from is None else self._usd(always_from),
            intervals=tuple(intervals[:MOST_INTERVALS]),
            message=self._message(found, never=never, open_ended=open_ended, limit=limit),
        )

    def _range(self) -> tuple[float, float, int | None]:
        """Volumes to look between, and the number of replicas that ends the range where it does."""
        lowest, highest = (usd / self.month_1_usd_per_request for usd in (LOWEST_API_USD, HIGHEST_API_USD))
        limit = MOST_REPLICAS if self.option.scaling.max_replicas is None else self.option.scaling.max_replicas
        most = max(limit - self.option.scaling.spare_replicas, 0) / float(self.fleet.loads.max())
        return (lowest, most, limit) if most < highest else (lowest, highest, None)

    def _usd(self, volume: float) -> Decimal:
        return exact(volume * self.month_1_usd_per_request)

    def _interval(self, start: float, stop: float | None) -> Interval:
        workload = self.case.workload
        tokens = float((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
        return Interval(
            from_api_usd_per_month=self._usd(start),
            to_api_usd_per_month=None if stop is None else self._usd(stop),
            from_requests_per_month=start,
            to_requests_per_month=stop,
            from_tokens_per_month=start * tokens,
            to_tokens_per_month=None if stop is None else stop * tokens,
        )

    def _message(self, found: Cheaper, *, never: bool, open_ended: bool, limit: int | None) -> str:
        by, api = self._by(), names_by_id(self.case)[self.api.id]
        if never:
            own, its = (self._prose_per_mtok(usd) for usd in (self.fleet.usd_per_request, self.api_usd_per_request))
            return f"Never: one full replica costs {own} per million tokens, {api} {its}."
        if not found.stretches:
            end = f"with up to {count(limit, 'replica')}" if limit else "anywhere from $10 to $10M of API spend a month"
            return f"Not cheaper than {api} {end}, by {by}."
        text = f"Cheaper than {api} {self._where(found, open_ended)}, by {by}"
        if found.examined_to is not None:
            text += f"; not examined above {prose_usd(self._usd(found.examined_to))}"
        return text + "."

    def _by(self) -> str:
        months = count(self.case.horizon_months, "month")
        return "running cost" if self.basis.name == "month_1" else f"total cost over {months}"

    def _where(self, found: Cheaper, open_ended: bool) -> str:
        """From the first stretch on; with gaps where there are more, up to the last."""
        start, (last_start, last_stop) = found.stretches[0][0], found.stretches[-1]
        more = len(found.stretches) > 1
        first, last = (prose_usd(self._usd(volume)) for volume in (start, last_start if open_ended else last_stop))
        spend = f"of API spend a month ({self._replicas(start)})"
        if open_ended:
            return f"from {first} {spend}" + (f", with gaps up to {last}" if more else "")
        between = f"between {first} and {last}" if first != last else f"at about {first}"
        return f"{between} {spend}" + (", with gaps" if more else "")

    def _replicas(self, volume: float) -> str:
        """Of the busiest hour in month 1, at a volume just above this one."""
        scale = volume / float(self.case.workload.requests_per_month)
        week = planned_week(self.case, self.option, volume=scale * (1 + 1e-6))
        most = int(week.replicas.max()) if week else 0
        return count(most, "replica")

    def _prose_per_mtok(self, usd_per_request: float) -> str:
        """Over the horizon both sides are totals, so they are shown per token of a mean month."""
        workload = self.case.workload
        tokens = float((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
        months = float(self.basis.volume @ self.basis.flat)
        return rate_usd(usd_per_request / months / tokens * 1e6)
