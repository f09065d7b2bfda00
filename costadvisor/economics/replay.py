"""The week replayed hour by hour for many draws and months: replica-hours, starts and the most replicas at once.

Loads are (draws, months): the mean hour's demand with headroom, in replicas. Hours that are alike are replayed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from costadvisor.economics.capacity import sampled_requests_per_s
from costadvisor.economics.case import WEEK_HOURS
from costadvisor.economics.composition import paid_around_the_clock
from costadvisor.economics.demand import DAY_HOURS, SECONDS_PER_HOUR, Floats
from costadvisor.economics.fleet import TOLERANCE, on_after_request_s, replicas_for, whole_replicas
from costadvisor.economics.months import Months, column
from costadvisor.economics.options import Scaling, SelfHostOption

DAYS = WEEK_HOURS // DAY_HOURS
# With so many requests expected meanwhile the next one has come: exp(-40) is below the last digit of 1.
SURELY_ON = 40.0


@dataclass(frozen=True)
class Use:
    """Of a month, (draws, months): replica-hours paid by the hour, hours paid while replicas start, most at once."""

    replica_hours: Floats
    start_hours: Floats
    most: Floats


def fleet_loads(option: SelfHostOption, months: Months) -> Floats:
    """(draws, months) The mean hour's demand with headroom, in replicas."""
    per_request = (1 + float(option.scaling.headroom)) / sampled_requests_per_s(months.sample, option)
    return months.requests_per_s * column(per_request)


def fleet_use(option: SelfHostOption, months: Months) -> Use:
    """What the option's policy makes of the demand; what must be paid around the clock is paid at its most."""
    scaling, loads = option.scaling, fleet_loads(option, months)
    if scaling.policy == "window":
        use = _window(scaling, months, loads)
    elif scaling.policy == "fixed" or paid_around_the_clock(option):
        use = _fixed(scaling, months, loads)
    elif scaling.policy == "scheduled":
        use = _scheduled(scaling, months, loads)
    else:
        use = _scale_to_zero(option, months, loads)
    if paid_around_the_clock(option):
        return always_on(use.most, months)
    starts = use.start_hours * column(months.sample(f"/options/{option.id}/scaling/cold_start_s")) / SECONDS_PER_HOUR
    return Use(use.replica_hours, starts, use.most)


def always_on(replicas: Floats, months: Months) -> Use:
    """Replicas (draws, months) that run all month."""
    return Use(replicas * months.hours, np.zeros((1, 1)), replicas)


def hourly_loads(loads: Floats, months: Months) -> Iterator[tuple[Floats, int]]:
    """The load of each hour that differs, in a buffer that the next one overwrites, and how often a week it comes."""
    buffer = np.empty(np.broadcast_shapes(loads.shape, (months.week.shape[0], 1)))
    for hour, _, times in months.pairs:
        yield np.multiply(loads, months.week[:, hour, None], out=buffer), times


def _fixed(scaling: Scaling, months: Months, loads: Floats) -> Use:
    peak = replicas_for(loads * months.week.max(axis=1)[:, None], scaling.min_replicas) + scaling.spare_replicas
    return always_on(peak, months)


def _scheduled(scaling: Scaling, months: Months, loads: Floats) -> Use:
    """Replica-hours and replicas started of a week hour by hour; equal neighbours once."""
    shape = np.broadcast_shapes(loads.shape, (months.week.shape[0], 1))
    scaled = loads * (1 - TOLERANCE)
    serving, steps_up = np.zeros(shape), np.zeros(shape)
    now, before, change = np.empty(shape), np.empty(shape), np.empty(shape)
    replayed = None
    for hour, hour_before, times in months.pairs:
        now, before = before, now
        if replayed != hour_before:
            _replicas(scaled, months.week[:, hour_before, None], scaling.min_replicas, before)
        _replicas(scaled, months.week[:, hour, None], scaling.min_replicas, now)
        replayed = hour
        _add(serving, now, times, change)
        if scaling.cold_start_s:
            np.subtract(now, before, out=change)
            np.maximum(change, 0.0, out=change)
            _add(steps_up, change, times, change)
    peak = replicas_for(loads * months.week.max(axis=1)[:, None], scaling.min_replicas)
    spare = scaling.spare_replicas
    return Use((serving + spare * WEEK_HOURS) * months.weeks, steps_up * months.weeks, peak + spare)


def _replicas(scaled: Floats, weights: Floats, minimum: int, out: Floats) -> None:
    np.multiply(scaled, weights, out=out)
    np.ceil(out, out=out)
    np.maximum(out, minimum, out=out)


def _add(total: Floats, values: Floats, times: int, scratch: Floats) -> None:
    total += values if times == 1 else np.multiply(values, times, out=scratch)


def _window(scaling: Scaling, months: Months, loads: Floats) -> Use:
    """All of a day's work inside its window, with every replica started anew each day unless the window is the day."""
    hours = float(scaling.window_hours_per_day or DAY_HOURS)
    days = months.week.reshape(-1, DAYS, DAY_HOURS).mean(axis=2) * (DAY_HOURS / hours)
    replicas = np.zeros(np.broadcast_shapes(loads.shape, (days.shape[0], 1)))
    most = np.zeros_like(replicas)
    for day in range(DAYS):
        needed = replicas_for(loads * days[:, day, None], scaling.min_replicas) + scaling.spare_replicas
        replicas += needed
        np.maximum(most, needed, out=most)
    starts = replicas * months.weeks if hours < DAY_HOURS else np.zeros((1, 1))
    return Use(replicas * hours * months.weeks, starts, most)


def _scale_to_zero(option: SelfHostOption, months: Months, loads: Floats) -> Use:
    """Whole replicas' worth of demand is on all hour, the rest from each request until nothing came for a while.

    `rest` is what is left for the last replica, in replicas; `silent` the share of time in which it is off.
    """
    keep_warm, shape = option.scaling.keep_warm, np.broadcast_shapes(loads.shape, (months.week.shape[0], 1))
    one_replica = column(sampled_requests_per_s(months.sample, option)) / (1 + float(option.scaling.headroom))
    requests_while_on = one_replica * on_after_request_s(months.sample.case, option)
    paid, cold, steps = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    whole, before, rest, silent, scratch = (np.empty(shape) for _ in range(5))
    replayed = None
    for hour, hour_before, times in months.pairs:
        whole, before = before, whole
        if replayed != hour_before:
            np.maximum(whole_replicas(loads * months.week[:, hour_before, None]), keep_warm, out=before)
        np.multiply(loads, months.week[:, hour, None], out=rest)
        np.floor(np.multiply(rest, 1 + TOLERANCE, out=whole), out=whole)
        np.subtract(rest, whole, out=rest)
        np.maximum(rest, 0.0, out=rest)
        _silent(np.multiply(rest, requests_while_on, out=scratch), silent)
        if keep_warm:
            warm = whole < keep_warm
            whole[warm], rest[warm], silent[warm] = keep_warm, 0.0, 1.0
        replayed = hour
        _add(paid, np.subtract(whole, silent, out=scratch), times, scratch)
        _add(cold, np.multiply(rest, silent, out=scratch), times, scratch)
        np.subtract(whole, before, out=scratch)
        _add(steps, np.maximum(scratch, 0.0, out=scratch), times, scratch)
    most = np.maximum(replicas_for(loads * months.week.max(axis=1)[:, None], 0), keep_warm)
    starts = steps + cold * one_replica * SECONDS_PER_HOUR
    return Use((paid + WEEK_HOURS) * months.weeks, starts * months.weeks, most)


def _silent(expected_requests: Floats, out: Floats) -> None:
    """`exp(-x)`, worked out only where it is not nothing."""
    out[:] = 0.0
    few = expected_requests < SURELY_ON
    out[few] = np.exp(-expected_requests[few])
