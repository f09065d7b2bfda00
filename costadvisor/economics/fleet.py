"""Replicas by hour of the week: what a demand needs, under a policy. Exact, for the case as it stands."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.composition import paid_around_the_clock
from costadvisor.economics.demand import (
    DAY_HOURS,
    SECONDS_PER_HOUR,
    Floats,
    batch_moved,
    requests_per_s,
    week_weights,
)
from costadvisor.economics.errors import CaseError
from costadvisor.economics.figures import exact
from costadvisor.economics.options import Scaling, SelfHostOption

# So that a demand which a fleet serves exactly, but for the last bits of a float, needs no further replica.
TOLERANCE = 1e-9
# A fleet beyond this is a slip of units.
MOST_REPLICAS = 10_000_000


def replicas_for(load: Floats, minimum: int) -> Floats:
    """`max(minimum, ceil(x - 1e-9 max(1, x)))` of a load x in replicas; spares not included."""
    replicas = np.ceil(load * (1 - TOLERANCE))
    return np.maximum(replicas, minimum, out=replicas)


def whole_replicas(load: Floats) -> Floats:
    """Replicas that a load keeps fully busy."""
    return np.floor(load * (1 + TOLERANCE))


@dataclass(frozen=True)
class Week:
    """A week of month 1 as planned, (168,): demand, replicas paid (spares included) and able to serve, by hour.

    Under `window` an hour that is in the window in part has its part of demand and replicas; under `scale_to_zero`
    `replicas` is the share of the hour that is paid.
    """

    requests_per_s: Floats
    replicas: Floats
    serving: Floats
    capacity_requests_per_s: float
    replica_hours: Decimal
    starts: Decimal

    @property
    def most(self) -> int:
        """At once, spares included."""
        return int(np.ceil(max(self.replicas.max(), self.serving.max())))

    @property
    def utilization(self) -> float:
        """Requests served over what the paid replicas could serve at the SLO."""
        return float(self.requests_per_s.sum() / (self.replicas.sum() * self.capacity_requests_per_s))


def served_weights(case: Case) -> Floats:
    """(168,) The case's week as own GPUs see it: batchable requests moved to the day's emptiest hours."""
    share = np.array([float(case.workload.batchable_share)])
    moved: Floats = batch_moved(week_weights(case.workload.hourly_shape)[None, :], share)[0]
    return moved


def planned_week(case: Case, option: SelfHostOption, *, volume: float = 1.0) -> Week | None:
    """The fleet of a month with `volume` times the case's requests. None where no rate meets the SLO.

    Raises CaseError for a fleet of more than ten million replicas.
    """
    capacity = float(planning_requests_per_s(case, option))
    if capacity <= 0:
        return None
    rates = requests_per_s(case.workload.requests_per_month, case) * volume * served_weights(case)
    one_replica = capacity / (1 + float(option.scaling.headroom))
    if rates.max() / one_replica > MOST_REPLICAS:
        problem = f"would take {float(rates.max() / one_replica):.3g} replicas"
        raise CaseError(f"/options/{option.id}/capacity", problem, "give the requests a second of one replica")
    policy = option.scaling.policy
    if policy == "window":
        week = _window(option.scaling, rates, one_replica, capacity)
    elif policy == "scale_to_zero" and not paid_around_the_clock(option):
        return _scale_to_zero(case, option, rates, one_replica, capacity)
    else:
        week = _whole_hours(option.scaling, rates, one_replica, capacity)
    return _around_the_clock(week) if paid_around_the_clock(option) else week


def on_after_request_s(case: Case, option: SelfHostOption) -> float:
    """How long a request keeps a replica on: while it is served, then until the idle timeout.

    Its service is what the SLO allows a request, or without an SLO one over the capacity.
    """
    ttft, tpot = case.slo.ttft_p95_ms, case.slo.tpot_p95_ms
    timeout = float(option.scaling.idle_timeout_s)
    if ttft is None or tpot is None:
        return timeout + 1 / float(planning_requests_per_s(case, option))
    outputs = (case.workload.output_tokens.mean or 0) * option.token_ratio.output
    return timeout + float(ttft + tpot * outputs) / 1000


def _whole_hours(scaling: Scaling, rates: Floats, one_replica: float, capacity: float) -> Week:
    serving = replicas_for(rates / one_replica, scaling.min_replicas)
    if scaling.policy != "scheduled":
        serving[:] = serving.max()
    replicas = serving + scaling.spare_replicas
    return Week(rates, replicas, serving, capacity, exact(float(replicas.sum())), exact(_steps_up(replicas)))


def _steps_up(replicas: Floats) -> float:
    """Replicas started in the cyclic week."""
    return float(np.maximum(np.diff(replicas, prepend=replicas[-1]), 0).sum())


def _window(scaling: Scaling, rates: Floats, one_replica: float, capacity: float) -> Week:
    """Each day's work in the first hours of the day; replicas are started anew unless the window is the whole day."""
    window = scaling.window_hours_per_day or Decimal(DAY_HOURS)
    hours = float(window)
    day_rates = rates.reshape(-1, DAY_HOURS).sum(axis=1) / hours
    serving = replicas_for(day_rates / one_replica, scaling.min_replicas)
    replicas = serving + scaling.spare_replicas
    part = np.clip(hours - np.arange(DAY_HOURS), 0.0, 1.0)
    total = exact(float(replicas.sum()))
    return Week(
        np.outer(day_rates, part).ravel(),
        np.outer(replicas, part).ravel(),
        np.outer(serving, part).ravel(),
        capacity,
        total * window,
        total if window < DAY_HOURS else Decimal(0),
    )


def _scale_to_zero(case: Case, option: SelfHostOption, rates: Floats, one_replica: float, capacity: float) -> Week:
    """See `replay._scale_to_zero`, which is the same for many draws."""
    keep_warm = option.scaling.keep_warm
    whole = whole_replicas(rates / one_replica)
    rest_per_s = np.maximum(rates - whole * one_replica, 0.0)
    silent = np.exp(-rest_per_s * on_after_request_s(case, option))
    paid = np.where(whole >= keep_warm, whole + 1 - silent, keep_warm)
    cold_starts = np.where(whole >= keep_warm, rest_per_s * SECONDS_PER_HOUR * silent, 0.0)
    serving = np.maximum(replicas_for(rates / one_replica, 0), keep_warm)
    starts = _steps_up(np.maximum(whole, keep_warm)) + float(cold_starts.sum())
    return Week(rates, paid, serving, capacity, exact(float(paid.sum())), exact(starts))


def _around_the_clock(week: Week) -> Week:
    """Its most replicas, all week."""
    most = np.full(WEEK_HOURS, float(week.replicas.max()))
    hours = exact(float(most.sum()))
    return Week(
        week.requests_per_s,
        most,
        most - (week.replicas - week.serving),
        week.capacity_requests_per_s,
        hours,
        Decimal(0),
    )
