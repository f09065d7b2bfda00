"""The simulator: taking alike steps at once changes nothing but the time it takes to simulate."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrate.load import Stepped, run_level
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.simulator import OpenLoad, Run, SimulatedBackend
from engine.calibrate.step_model import Bend, StepModel
from engine.calibrate.workload import Content, Lengths, Workload
from engine.config import SchedulerConfig


@given(st.integers(1, 400), st.floats(1e-3, 1.0), st.floats(0.0, 0.01), st.floats(1e-4, 1e3))
def test_how_many_steps_start_in_time(steps: int, first_s: float, growth_s: float, seconds: float) -> None:
    run = Run(steps, first_s, growth_s, [], [])
    starts = [run.seconds(step) for step in range(steps)]
    assert run.started_within(seconds) == max(1, sum(start < seconds for start in starts))
    assert run.seconds(steps) == pytest.approx(sum(first_s + growth_s * step for step in range(steps)))
    assert run.started_within(math.inf) == steps


lengths = st.builds(Lengths, st.integers(1, 60) | st.integers(100, 400), st.integers(1, 40), st.just(()))
workloads = st.builds(
    lambda pairs, share: Workload("mix", tuple(pairs), (1.0,) * len(pairs), content=Content(share)),
    st.lists(lengths, min_size=1, max_size=5),
    st.sampled_from([0.0, 0.4]),
)
small = st.builds(
    SchedulerConfig,
    max_batch=st.integers(1, 6),
    token_budget=st.integers(6, 40),
    block_size=st.integers(1, 8),
    num_blocks=st.integers(445, 900),  # the longest request needs 439, so that some runs are preempted
    max_model_len=st.just(512),
)


@settings(max_examples=60, deadline=None)
@given(workloads, small, st.floats(0.2, 40.0), st.integers(0, 9), st.sampled_from([(), (Bend(4, 0.3, 0.0005),)]))
def test_leaps_give_the_same_times_as_single_steps(
    workload: Workload, limits: SchedulerConfig, rate: float, seed: int, bends: tuple[Bend, ...]
) -> None:
    truth = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002, bends=bends)
    spec = OpenLoad.draw(workload, 40, seed).level("", "", 0, rate, 0, math.inf)
    backend = SimulatedBackend(limits, truth.ms)
    leaping = run_level(backend, spec, keep_steps=False)
    backend.scheduler.check()
    assert backend.scheduler.pool.available == backend.scheduler.pool.capacity
    single = run_level(SimulatedBackend(limits, truth.ms), spec)
    for one, other in zip(leaping.requests, single.requests, strict=True):
        assert one.values() == pytest.approx(other.values(), rel=1e-9)
    assert all(row.finished and row.output == row.asked for row in leaping.requests)


class Counting(SimulatedBackend):
    """Counts what it takes at once and what singly."""

    steps = taken = preempted = 0

    def step(self, until: float) -> Stepped:
        stepped = super().step(until)
        self.taken += 1
        self.steps += stepped.repeats
        self.preempted += stepped.record.preempted
        self.scheduler.check()
        return stepped


@pytest.mark.parametrize(
    ("name", "limits", "lengths", "requests_per_s", "most"),
    [
        ("decodes", SchedulerConfig(), Lengths(200, 200), 0.5, 0.06),
        ("waiting for rows", SchedulerConfig(max_batch=4), Lengths(200, 200), 2.0, 0.06),
        ("waiting for memory", SchedulerConfig(num_blocks=16), Lengths(250, 200), 2.0, 0.06),
        ("preempted", SchedulerConfig(num_blocks=16), Lengths(60, 700), 0.5, 0.12),
        ("long prompts", SchedulerConfig(token_budget=32), Lengths(4000, 20), 0.2, 0.2),
        ("long prompts, many", SchedulerConfig(token_budget=64, num_blocks=200), Lengths(4000, 20), 2.0, 0.2),
    ],
)
def test_few_steps_are_taken_singly(
    truth: StepModel, name: str, limits: SchedulerConfig, lengths: Lengths, requests_per_s: float, most: float
) -> None:
    """What the percentiles come to differs by far less than half a percent, and what is taken at once is most of it."""
    load = OpenLoad.draw(Workload("fixed", (lengths,), (1.0,)), 150, 3)
    spec = load.level("", "", 0, requests_per_s, 0, math.inf)
    backend = Counting(limits, truth.ms)
    leaping = run_level(backend, spec, keep_steps=False)
    assert backend.taken < most * backend.steps
    assert name != "preempted" or backend.preempted > 20
    single = run_level(SimulatedBackend(limits, truth.ms), spec)
    assert leaping.duration_s == pytest.approx(single.duration_s, rel=1e-9), "throughput"
    for quantile in (0.5, 0.95):
        for metric in (lambda row: row.ttft_ms(open_loop=True), lambda row: row.tpot_ms):
            one, other = (nearest_rank(list(map(metric, log.requests)), quantile) for log in (leaping, single))
            assert one == pytest.approx(other, rel=1e-6)


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
