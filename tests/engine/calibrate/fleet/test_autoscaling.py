"""Replicas come after their delay, go after the hold, and are billed for what was asked of them."""

from dataclasses import replace

import pytest

from engine.calibrate.fleet.arrivals import HourlyTraffic
from engine.calibrate.fleet.ask import Autoscaling, FleetAsk, ReplicaModel
from engine.calibrate.fleet.autoscaling import TICK_S, Autoscaler
from engine.calibrate.fleet.simulation import Simulation
from engine.calibrate.fleet.tally import HourTally
from engine.calibrate.fleet.timeline import Timeline
from engine.calibrate.workload import workload_fixed

EVEN = workload_fixed(100, 10, burstiness=200.0)  # arrivals almost as regular as a clock


@pytest.fixture
def small(model: ReplicaModel) -> ReplicaModel:
    """One replica is bought for each request per second."""
    return replace(model, plan_requests_per_s=1.0)


def scaled(model: ReplicaModel, rates: tuple[float, ...], ask: FleetAsk) -> list[HourTally]:
    return Simulation(model, ask, HourlyTraffic(Timeline(len(rates)), rates, EVEN)).run().hours


def test_more_replicas_serve_after_their_delay_and_cost_from_the_first_second(small: ReplicaModel) -> None:
    """Three are needed from the second hour on."""
    ask = FleetAsk(1, autoscaling=Autoscaling(1, 8), scale_up_delay_s=1800.0, headroom=0.0)
    first, second = scaled(small, (0.5, 2.5), ask)
    assert first.ready_s == pytest.approx(3600)
    assert first.billed_h == pytest.approx(1)
    noticed_s = 60.0  # it takes the last minute's rate
    assert second.billed_h == pytest.approx(1 + 2 * (3600 - noticed_s / 2) / 3600, abs=noticed_s / 3600)
    assert second.ready_s == pytest.approx(second.billed_h * 3600 - 2 * 1800, abs=1)


@pytest.mark.parametrize("hold_s", [0.0, 1200.0])
def test_fewer_replicas_only_after_the_hold(small: ReplicaModel, hold_s: float) -> None:
    ask = FleetAsk(3, autoscaling=Autoscaling(1, 8, hold_s), headroom=0.0)
    first, second = scaled(small, (2.5, 0.5), ask)
    assert first.billed_h == pytest.approx(3)
    assert second.billed_h == pytest.approx(1 + 2 * (hold_s + 30) / 3600, abs=2 * 30 / 3600)


def test_a_minimum_is_billed(small: ReplicaModel) -> None:
    scaling = Autoscaling(1, 8, 300.0)
    free = sum(hour.billed_h for hour in scaled(small, (0.2, 0.2), FleetAsk(3, autoscaling=scaling)))
    ask = FleetAsk(3, autoscaling=scaling, min_billing_s=5400.0)
    billed = sum(hour.billed_h for hour in scaled(small, (0.2, 0.2), ask))
    assert free == pytest.approx(2 + 2 * 315 / 3600, abs=0.01)
    assert billed == pytest.approx(2 + 2 * 1.5)


def test_scaling_to_none_and_back(small: ReplicaModel) -> None:
    ask = FleetAsk(0, autoscaling=Autoscaling(0, 8, 120.0), scale_up_delay_s=30.0)
    first, second, third = scaled(small, (0.0, 0.8, 0.0), ask)
    assert first.billed_h == 0
    assert second.queue_max > 0.8 * 30, "half a minute's arrivals wait for the first replica"
    assert second.finished == second.arrived
    assert third.billed_h == pytest.approx(2 * 120 / 3600, abs=0.07)


def test_the_hold_looks_back_from_every_tick() -> None:
    scaler = Autoscaler(Autoscaling(1, 9, 60.0), requests_per_s=1.0, replicas=4)
    replicas, seen = 4, []
    for tick, arrivals in enumerate([60, 60, 60, 60, 0, 0, 0, 0, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0], start=1):
        replicas = scaler.wanted(tick * TICK_S, arrivals, replicas, outstanding=True)
        seen.append(replicas)
    assert seen == [4] * 8 + [3] * 1 + [2] * 7 + [1] * 2


def test_more_at_once() -> None:
    scaler = Autoscaler(Autoscaling(1, 9, 60.0), requests_per_s=1.0, replicas=1)
    assert scaler.wanted(TICK_S, 100, 1, outstanding=True) == 7
    assert scaler.wanted(2 * TICK_S, 1000, 7, outstanding=True) == 9, "at most as many as there may be"


def test_there_is_one_while_anybody_is_there() -> None:
    scaler = Autoscaler(Autoscaling(0, 9, 0.0), requests_per_s=1.0, replicas=1)
    assert scaler.wanted(TICK_S, 0, 1, outstanding=True) == 1
    assert scaler.wanted(2 * TICK_S, 0, 1, outstanding=False) == 0
