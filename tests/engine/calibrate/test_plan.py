"""How the time is shared out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calibrate.plan import Outcome, Pace, plan_levels, worth_running
from engine.calibrate.slo import Slo
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig

SLO = Slo(1000, 50)


@given(st.floats(0.001, 2.0), st.floats(0.0005, 0.1), st.integers(1, 300), st.floats(1.0, 10.0))
def test_all_levels_fit_into_the_time(prefill_s: float, token_s: float, output: int, minutes: float) -> None:
    pace = Pace(prefill_s, token_s)
    limits = SchedulerConfig(max_batch=64, num_blocks=4096)
    plan = plan_levels(pace, workload_fixed(500, output), limits, "cpu", elapsed_s=5.0, max_s=60 * minutes)
    openings = prefill_s * (plan.passes * sum(plan.ladder) + 2 * plan.reference)
    windows = plan.passes * len(plan.ladder) * plan.window_s + 2 * plan.reference_s + plan.verification_s
    assert plan.window_s >= 0.5
    if plan.window_s > 0.5:
        assert 5.0 + openings + windows + plan.simulation_s <= plan.total_s + 1e-6
    assert plan.total_s <= max(5.0, 0.75 * 60 * minutes) + 1e-6
    assert plan.ladder == tuple(sorted(set(plan.ladder)))
    assert plan.ladder[0] == 1
    assert plan.reference in (plan.ladder[-1], 4)


def test_levels_stop_at_the_rows_and_at_kv_memory() -> None:
    pace, workload = Pace(0.01, 0.005), workload_fixed(900, 100)

    def ladder(**limits: int) -> tuple[int, ...]:
        config = SchedulerConfig(block_size=10, **limits)  # type: ignore[arg-type]
        return plan_levels(pace, workload, config, "cuda", 5.0, 300.0).ladder

    assert ladder(max_batch=64, num_blocks=100_000) == (1, 2, 4, 8, 16, 32, 64)
    assert ladder(max_batch=20, num_blocks=100_000) == (1, 2, 4, 8, 12, 16), "a midpoint joins where levels are few"
    assert ladder(max_batch=64, num_blocks=1 + 900) == (1, 2, 3, 4, 6, 8)


def test_a_slow_machine_measures_fewer_at_a_time() -> None:
    fast = plan_levels(Pace(0.4, 0.03), workload_fixed(1155, 211), SchedulerConfig(num_blocks=6000), "cpu", 10, 300)
    slow = plan_levels(Pace(2.0, 0.15), workload_fixed(1155, 211), SchedulerConfig(num_blocks=6000), "cpu", 10, 300)
    assert fast.ladder[-1] == 32
    assert slow.ladder[-1] < fast.ladder[-1]
    assert fast.passes == 2
    assert 5 < fast.window_s < 10


def test_a_black_box_is_asked_once_a_level() -> None:
    assert plan_levels(Pace(0.01, 0.005), workload_fixed(900, 100), None, "cuda", 5.0, 300.0).passes == 1


@pytest.mark.parametrize(
    ("seen", "concurrency", "worth"),
    [
        ({}, 16, True),
        ({1: Outcome(30, 33, 0), 2: Outcome(50, 40, 0), 4: Outcome(80, 50, 0)}, 8, True),
        ({4: Outcome(80, 151, 0)}, 8, False),
        ({4: Outcome(80, 151, 0)}, 2, True),
        ({4: Outcome(80, 149, 0)}, 8, True),
        ({4: Outcome(80, 60, 3)}, 8, False),
        ({2: Outcome(100, 20, 0), 4: Outcome(102, 40, 0), 8: Outcome(104, 80, 0)}, 16, False),
        ({2: Outcome(100, 20, 0), 3: Outcome(101, 30, 0), 4: Outcome(102, 40, 0), 6: Outcome(120, 50, 0)}, 8, True),
        ({2: Outcome(100, 20, 0), 4: Outcome(102, 40, 0), 8: Outcome(140, 80, 0)}, 16, True),
        ({4: Outcome(102, 40, 0), 16: Outcome(90, None, 0)}, 8, True),
    ],
)
def test_which_levels_are_still_worth_running(seen: dict[int, Outcome], concurrency: int, worth: bool) -> None:
    assert worth_running(concurrency, seen, SLO) is worth
