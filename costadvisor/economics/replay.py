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
from costadvisor.economics.fleet import TOLERANCE, on_after_request_s, replicas_for
from costadvisor.economics.hour_blocks import add_hours, hour_blocks, hours_at_once
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
    """Replica-hours and replicas started of a week hour by hour."""
    shape = np.broadcast_shapes(loads.shape, (months.week.shape[0], 1))
    scaled = loads * (1 - TOLERANCE)
    serving, steps_up = np.zeros(shape), np.zeros(shape)
    block = hours_at_once(shape)
    replicas, scratch = np.zeros((block + 1, *shape)), np.empty((block, *shape))
    for hours, times in hour_blocks(months.pairs, block):
        before, now = replicas[: len(hours)], replicas[1 : len(hours) + 1]
        np.multiply(scaled, months.week.T[hours][:, :, None], out=now)
        np.ceil(now, out=now)
        np.maximum(now, scaling.min_replicas, out=now)
        change = np.subtract(now, before, out=scratch[: len(hours)])
        add_hours(steps_up, np.maximum(change, 0.0, out=change), times)
        replicas[0] = now[-1]
        add_hours(serving, now, times)
    peak = replicas_for(loads * months.week.max(axis=1)[:, None], scaling.min_replicas)
    spare = scaling.spare_replicas
    return Use((serving + spare * WEEK_HOURS) * months.weeks, steps_up * months.weeks, peak + spare)


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
    block = hours_at_once(shape)
    replicas, left, scratch = (np.zeros((block + extra, *shape)) for extra in (1, 0, 0))
    for hours, times in hour_blocks(months.pairs, block):
        before, whole, rest = replicas[: len(hours)], replicas[1 : len(hours) + 1], left[: len(hours)]
        np.multiply(loads, months.week.T[hours][:, :, None], out=rest)
        np.floor(np.multiply(rest, 1 + TOLERANCE, out=whole), out=whole)
        np.subtract(rest, whole, out=rest)
        np.maximum(rest, 0.0, out=rest)
        silent = _silent(np.multiply(rest, requests_while_on, out=scratch[: len(hours)]))
        if keep_warm:
            warm = whole < keep_warm
            whole[warm], rest[warm], silent[warm] = keep_warm, 0.0, 1.0
        np.multiply(rest, silent, out=rest)
        add_hours(cold, rest, times)
        change = np.subtract(whole, before, out=rest)
        add_hours(steps, np.maximum(change, 0.0, out=change), times)
        replicas[0] = whole[-1]
        add_hours(paid, np.subtract(whole, silent, out=silent), times)
    most = np.maximum(replicas_for(loads * months.week.max(axis=1)[:, None], 0), keep_warm)
    starts = steps + cold * one_replica * SECONDS_PER_HOUR
    return Use((paid + WEEK_HOURS) * months.weeks, starts * months.weeks, most)


def _silent(expected_requests: Floats) -> Floats:
    """`exp(-x)` in place, worked out only where it is not nothing."""
    few = expected_requests < SURELY_ON
    found = np.exp(-expected_requests[few])
    expected_requests[:] = 0.0
    expected_requests[few] = found
    return expected_requests
