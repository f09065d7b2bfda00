"""The fleet: known queues are reproduced, nobody is lost, and routers differ as theory has it."""

import dataclasses
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrate.fleet.arrivals import HourlyTraffic
from engine.calibrate.fleet.ask import Autoscaling, FleetAsk, ReplicaModel, RouterName
from engine.calibrate.fleet.simulation import Simulation
from engine.calibrate.fleet.tally import HourTally
from engine.calibrate.fleet.timeline import Timeline
from engine.calibrate.level import LevelSpec
from engine.calibrate.metrics import Histogram
from engine.calibrate.simulator import simulate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Lengths, Workload, workload_fixed
from engine.config import SchedulerConfig

ONE_AT_A_TIME = SchedulerConfig(max_batch=1)


def flat(requests_per_s: float, seconds: float, workload: Workload, seed: int = 0) -> HourlyTraffic:
    """Constant traffic in a single short "hour"."""
    return HourlyTraffic(Timeline(1, seconds), (requests_per_s,), workload, seed)


def total(model: ReplicaModel, ask: FleetAsk, traffic: HourlyTraffic) -> HourTally:
    return HourTally.sum(Simulation(model, ask, traffic).run().hours)


def test_the_mean_wait_of_a_queue_with_constant_service() -> None:
    """M/D/1: load · service / (2 · (1 - load))."""
    service_s, load = 0.05, 0.6
    model = ReplicaModel(ONE_AT_A_TIME, lambda *work: 10.0, Slo(1000, 50), 10.0)  # five tokens, 10 ms each
    waits = []
    for seed in range(8):
        sums = total(model, FleetAsk(1), flat(load / service_s, 300, workload_fixed(1, 5), seed))
        waits.append(sums.waiting_s / sums.arrived)
    error = statistics.stdev(waits) / math.sqrt(len(waits))
    truth = load * service_s / (2 * (1 - load))
    assert error < 0.06 * truth
    assert statistics.fmean(waits) == pytest.approx(truth, abs=3 * error)


def test_the_fewest_outstanding_beats_turns_which_beat_chance() -> None:
    """Four replicas of four rows at 85 % load; every fourth request is ten times as long."""
    model = ReplicaModel(SchedulerConfig(max_batch=4), lambda *work: 10.0, Slo(1000, 50), 10.0)
    workload = Workload("mix", (Lengths(10, 10), Lengths(10, 100)), (3.0, 1.0))
    routers: list[RouterName] = ["least_outstanding", "round_robin", "random"]
    ttft = []
    for router in routers:
        sums = total(model, FleetAsk(4, router), flat(0.85 * 16 / 0.325, 200, workload))
        ttft.append(sums.ttft_ms.percentile(0.95) or 0.0)
    assert ttft[0] < 0.8 * ttft[1], ttft
    assert ttft[1] < 0.8 * ttft[2], ttft


def test_one_replica_is_the_single_simulator(model: ReplicaModel) -> None:
    traffic = flat(14.0, 120, Workload("mix", (Lengths(3000, 30), Lengths(100, 200)), (1.0, 1.0), burstiness=0.4))
    sums = total(model, FleetAsk(1), traffic)
    arrivals, lengths = zip(*traffic.arrivals(), strict=True)
    spec = LevelSpec("", "", 0, lengths, 120.0, math.inf, arrivals=arrivals)
    rows = simulate(model.config, model.step_ms, spec).requests
    assert sums.finished == len(rows) == len(arrivals)
    assert sums.ttft_ms == Histogram.of(row.ttft_ms(open_loop=True) or 0.0 for row in rows)
    assert sums.tpot_ms == Histogram.of(row.tpot_ms or 0.0 for row in rows)
    met = sum((row.ttft_ms(open_loop=True) or 0) <= 500 and (row.tpot_ms or 0) <= 20 for row in rows)
    assert 0 < sums.slo_met == met < len(rows)


asks = st.builds(
    FleetAsk,
    replicas=st.integers(1, 3),
    router=st.sampled_from(["random", "round_robin", "least_outstanding"]),
    autoscaling=st.none() | st.builds(Autoscaling, st.integers(0, 1), st.just(4), st.sampled_from([0.0, 60.0])),
    scale_up_delay_s=st.sampled_from([0.0, 20.0]),
    min_billing_s=st.sampled_from([0.0, 120.0]),
    overflow_queue=st.none() | st.integers(1, 20),
    spot_losses_per_hour=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 9),
)


@settings(max_examples=25, deadline=None)
@given(asks, st.floats(0.05, 12.0), st.sampled_from([0.3, 1.0]))
def test_every_arrival_finishes_or_overflows_exactly_once(ask: FleetAsk, rate: float, burstiness: float) -> None:
    step = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002)
    model = ReplicaModel(SchedulerConfig(max_batch=8, num_blocks=40), step.ms, Slo(1000, 40), 2.0)
    workload = Workload("mix", (Lengths(100, 30), Lengths(900, 5)), (1.0, 1.0), burstiness)
    traffic = HourlyTraffic(Timeline(3, 60.0), (rate, 0.0, rate / 2), workload, ask.seed)
    simulation = Simulation(model, ask, traffic)
    hours = simulation.run().hours
    sums = HourTally.sum(hours)
    assert sums.arrived == sum(1 for _ in traffic.arrivals())
    assert sums.finished + sums.overflowed == sums.arrived
    assert sums.ttft_ms.n == sums.tpot_ms.n == sums.finished
    assert max(sums.ttft_met, sums.tpot_met) <= sums.finished
    assert hours[1].arrived == 0
    assert simulation.replicas == []
    assert not simulation.held
    assert sums.busy_s <= sums.ready_s * (1 + 1e-9)
    assert sums.ready_s <= sums.billed_h * 60 * (1 + 1e-9), "a replica serves no longer than it is billed"
    if ask.overflow_queue is not None and not ask.spot_losses_per_hour:
        assert sums.queue_max <= ask.overflow_queue


def test_an_overloaded_fleet_overflows_what_it_cannot_hold(model: ReplicaModel) -> None:
    traffic = flat(40.0, 120, Workload("mix", (Lengths(512, 28), Lengths(512, 228)), (1.0, 1.0)))
    alone = total(model, FleetAsk(1), traffic)
    helped = total(model, FleetAsk(1, overflow_queue=5), traffic)
    assert alone.ttft_met < 0.1 * alone.attempted
    assert helped.ttft_met > 0.9 * helped.attempted
    assert helped.queue_max == 5
    assert helped.overflowed / helped.arrived == pytest.approx(1 - 19.4 / 40, abs=0.03), "it serves 19.4 a second"


def test_who_never_finishes_is_a_miss(model: ReplicaModel) -> None:
    """A quarter of an hour at fifteen times what it can do: an hour later many still wait."""
    slow = dataclasses.replace(model, step_ms=lambda *work: 1000.0, config=ONE_AT_A_TIME)
    sums = total(slow, FleetAsk(1), flat(1.5, 900, workload_fixed(10, 10)))
    assert sums.finished == pytest.approx((900 + 3600) / 10, abs=2)
    assert sums.attempted == sums.arrived > 1200


def test_lost_replicas_come_back_and_their_requests_are_sent_again(model: ReplicaModel) -> None:
    ask = FleetAsk(4, spot_losses_per_hour=2.0, scale_up_delay_s=60.0)
    simulation = Simulation(model, ask, HourlyTraffic(Timeline(4), (1.0,) * 4, workload_fixed(512, 128)))
    tally = simulation.run()
    sums = HourTally.sum(tally.hours)
    share_ready = 1 / (1 + 2.0 * 60 / 3600)
    assert tally.lost_replicas == pytest.approx(4 * 4 * 2 * share_ready, abs=3 * math.sqrt(32))
    assert sums.ready_s / (16 * 3600) == pytest.approx(share_ready, abs=0.02)
    assert sums.billed_h == pytest.approx(16, abs=0.02), "a replacement is billed from the moment it is asked for"
    assert 0 < sums.resent < 4 * tally.lost_replicas
    assert sums.finished == sums.arrived
