"""The simulator: taking alike steps at once changes nothing but the time it takes to simulate."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrate.load import run_level
from engine.calibrate.simulator import OpenLoad, SimulatedBackend
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Content, Lengths, Workload
from engine.config import SchedulerConfig

lengths = st.lists(st.builds(Lengths, st.integers(1, 60), st.integers(1, 40), st.just(())), min_size=1, max_size=5)
workloads = st.builds(
    lambda pairs, share: Workload("mix", tuple(pairs), (1.0,) * len(pairs), content=Content(share)),
    lengths,
    st.sampled_from([0.0, 0.4]),
)
small = st.builds(
    SchedulerConfig,
    max_batch=st.integers(1, 6),
    token_budget=st.integers(6, 40),
    block_size=st.integers(1, 8),
    num_blocks=st.integers(105, 300),  # the longest request needs 100, so that some runs are preempted
    max_model_len=st.just(128),
)


@settings(max_examples=40, deadline=None)
@given(workloads, small, st.floats(0.5, 40.0), st.integers(0, 9))
def test_leaps_give_the_same_times_as_single_steps(
    workload: Workload, limits: SchedulerConfig, rate: float, seed: int
) -> None:
    truth = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002)
    spec = OpenLoad.draw(workload, 40, seed).level("", "", 0, rate, 0, math.inf)
    backend = SimulatedBackend(limits, truth.ms)
    leaping = run_level(backend, spec, keep_steps=False)
    backend.scheduler.check()
    assert backend.scheduler.pool.available == backend.scheduler.pool.capacity
    single = run_level(SimulatedBackend(limits, truth.ms), spec)
    for one, other in zip(leaping.requests, single.requests, strict=True):
        assert one.values() == pytest.approx(other.values(), rel=1e-9)
    assert all(row.finished and row.output == row.asked for row in leaping.requests)


def test_leaps_hold_the_books_between_them(limits: SchedulerConfig, truth: StepModel) -> None:
    backend = SimulatedBackend(limits, truth.ms)
    for length in (100, 37, 5):
        backend.submit(Lengths(length, 50))
    leaps = 0
    while not backend.scheduler.idle:
        leaps += backend.step(math.inf).repeats > 1
        backend.scheduler.check()
    assert leaps >= 1


def test_a_loads_rate_is_exact_and_its_arrivals_are_as_bursty_as_asked() -> None:
    for burstiness in (1.0, 0.25):
        workload = Workload("fixed", (Lengths(5, 5),), (1.0,), burstiness)
        spec = OpenLoad.draw(workload, 4000, 1).level("", "", 0, 8.0, 0, 1.0)
        arrivals = spec.arrivals or ()
        assert math.isclose(arrivals[-1], 500.0)
        gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
        mean = sum(gaps) / len(gaps)
        squares = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
        assert math.isclose(squares / mean**2, 1 / burstiness, rel_tol=0.15), "squared variation of gamma gaps is 1/b"
