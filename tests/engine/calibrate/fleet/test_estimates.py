"""The quick estimates: textbook values, and a full batch as the simulator has it."""

import math

import pytest

from engine.calibrate.fleet.ask import ReplicaModel
from engine.calibrate.fleet.estimates import (
    Slots,
    erlang_c_replicas,
    fluid_replicas,
    mean_wait_s,
    ttft_share,
    wait_chance,
)
from engine.calibrate.level import LevelSpec
from engine.calibrate.simulator import simulate
from engine.calibrate.slo import Slo
from engine.calibrate.workload import Lengths
from engine.config import SchedulerConfig

ANY = Slo(1e9, 1e9)


def test_erlangs_c_has_its_textbook_values() -> None:
    assert wait_chance(1, 0.7) == pytest.approx(0.7)
    assert wait_chance(2, 1.5) == pytest.approx(2 * 0.75**2 / (1 + 0.75))
    servers, load = 20, 17.0
    terms = [load**n / math.factorial(n) for n in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    assert wait_chance(servers, load) == pytest.approx(last / (sum(terms) + last))
    assert mean_wait_s(1, 0.5, 1.0) == pytest.approx(1.0), "M/M/1: load / (rate of service - rate)"
    assert wait_chance(3, 3.0) == 1
    assert math.isinf(mean_wait_s(3, 3.0, 1.0))
    assert wait_chance(3, 0.0) == 0


def test_fluid_is_the_formula() -> None:
    assert fluid_replicas(10.0, 3.0, 0.15) == 4
    assert fluid_replicas(0.0, 3.0, 0.15) == 0


@pytest.mark.parametrize(
    ("limits", "lengths"),
    [
        (SchedulerConfig(max_batch=32, token_budget=2048), Lengths(512, 128)),
        (SchedulerConfig(num_blocks=100, token_budget=2048), Lengths(1000, 300)),  # five in memory
        (SchedulerConfig(max_batch=24, num_blocks=4096), Lengths(4000, 24)),  # nothing but prompts
        (SchedulerConfig(max_batch=48, token_budget=2048), Lengths(300, 8)),  # prompts share steps
    ],
)
def test_a_full_batch_is_as_fast_as_the_simulators(
    model: ReplicaModel, limits: SchedulerConfig, lengths: Lengths
) -> None:
    slots = Slots.of(ReplicaModel(limits, model.step_ms, ANY, 1.0), (float(lengths.input), float(lengths.output)))
    spec = LevelSpec("", "", 0, (lengths,), 60.0, 100.0, concurrency=slots.slots)
    log = simulate(limits, model.step_ms, spec)
    assert log.window is not None
    opened, closed = log.window
    finished = sum(row.finished and opened < (row.t_last or 0) <= closed for row in log.requests)
    assert finished / (closed - opened) == pytest.approx(slots.requests_per_s, rel=0.03)


def test_slots_stay_inside_the_time_per_token(model: ReplicaModel) -> None:
    limits = SchedulerConfig(max_batch=512, token_budget=2048, num_blocks=16384)

    def slots(tpot_p95_ms: float) -> Slots:
        return Slots.of(ReplicaModel(limits, model.step_ms, Slo(500, tpot_p95_ms), 1.0), (512.0, 128.0))

    assert slots(1.0).slots == 1, "never none"
    assert slots(20.0).slots < slots(40.0).slots < slots(1e9).slots == 512
    assert slots(20.0).service_s / 128 <= 0.020 < (slots(20.0).service_s / 128) * 1.01


def test_more_replicas_meet_more_and_the_fewest_are_found() -> None:
    slots = Slots(slots=10, service_s=1.0, first_token_s=0.1)
    slo = Slo(300, 50)
    shares = [ttft_share(slots, replicas, 95.0, slo) for replicas in range(8, 14)]
    assert shares == sorted(shares)
    assert shares[0] == 0, "they can't keep up"
    fewest = erlang_c_replicas(slots, 95.0, slo)
    assert fewest == 8 + next(number for number, share in enumerate(shares) if share >= 0.95)
    assert erlang_c_replicas(slots, 0.0, slo) == 0
    assert erlang_c_replicas(Slots(10, 1.0, 0.4), 95.0, slo) is None, "the first token alone takes too long"
