"""The driver: what counts in a level, and that open loop sees what closed loop hides."""

import json

import pytest

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.load import run_level
from engine.calibrate.simulator import SimulatedBackend, simulate
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import Lengths
from engine.config import SchedulerConfig

LENGTHS = (Lengths(100, 10),)


def closed(concurrency: int, window_s: float = 20.0) -> LevelSpec:
    return LevelSpec("L1", "step_map", 1, LENGTHS, window_s, limit_s=60.0, concurrency=concurrency)


def opened(arrivals: tuple[float, ...], window_s: float, limit_s: float = 60.0, warm_in_s: float = 0.0) -> LevelSpec:
    return LevelSpec("L1", "verification", 1, LENGTHS, window_s, limit_s, arrivals=arrivals, warm_in_s=warm_in_s)


def test_closed_loop_keeps_n_outstanding(limits: SchedulerConfig, truth: StepModel) -> None:
    log = simulate(limits, truth.ms, closed(4), keep_steps=True)
    assert log.complete
    assert log.window is not None
    inside = [step for step in log.steps if log.window[0] < step.started_s]
    assert all(step.running + step.waiting in (3, 4) for step in inside), "a finished request was not replaced at once"
    assert log.window[1] - log.window[0] == pytest.approx(20)
    assert sum(not row.finished for row in log.requests) <= 4, "only what was running at the end is cut"
    for row in log.requests:
        assert not row.finished or row.output == row.asked


@pytest.mark.parametrize("keep_steps", [True, False])
def test_over_a_network_the_next_request_misses_a_step(limits: SchedulerConfig, keep_steps: bool) -> None:
    """With one at a time it does not: the server stands still until it comes."""

    def waited_ms(concurrency: int, *, remote: bool) -> float:
        log = simulate(limits, lambda *work: 10.0, closed(concurrency), keep_steps=keep_steps, remote=remote)
        later = [ms for row in log.requests if not row.starter and (ms := row.ttft_ms(open_loop=False)) is not None]
        return sum(later) / len(later)

    assert waited_ms(4, remote=False) == pytest.approx(10)
    assert waited_ms(4, remote=True) == pytest.approx(20)
    assert waited_ms(1, remote=True) == pytest.approx(10)


def test_the_opening_burst_does_not_march_in_step(limits: SchedulerConfig, truth: StepModel) -> None:
    starters = [row for row in simulate(limits, truth.ms, closed(5)).requests if row.starter]
    assert [row.asked for row in starters] == [2, 4, 6, 8, 10]


def test_throughput_of_a_level_is_that_of_its_step_times(limits: SchedulerConfig) -> None:
    log = simulate(limits, lambda *work: 10.0, closed(1), keep_steps=True)
    assert log.window is not None
    counted = sum(step.sampled for step in log.steps if log.window[0] < step.ended_s <= log.window[1])
    assert counted == pytest.approx(2000, abs=2), "one token each 10 ms for 20 s"


def test_a_level_whose_window_never_opens_ends_all_the_same(limits: SchedulerConfig) -> None:
    log = simulate(limits, lambda *work: 20_000.0, closed(30))
    assert log.window is None
    assert log.duration_s == pytest.approx(60)


def stalling(at_s: float, stall_ms: float) -> SimulatedBackend:
    """10 ms a step, but one step takes very long."""

    def step_ms(*work: int) -> float:
        if backend.clock_s >= at_s and not stalled:
            stalled.append(True)
            return stall_ms
        return 10.0

    stalled: list[bool] = []
    limits = SchedulerConfig(max_batch=32, token_budget=4096, block_size=16, num_blocks=4096)
    backend = SimulatedBackend(limits, step_ms)
    return backend


def slow_starts(log: LevelLog, *, open_loop: bool) -> int:
    ttft = [row.ttft_ms(open_loop=open_loop) for row in log.requests]
    return sum(ms > 500 for ms in ttft if ms is not None)


def test_closed_loop_hides_a_stall_that_open_loop_shows() -> None:
    """Coordinated omission: while the server stands still a closed loop sends nothing, so nobody is seen to wait."""
    hidden = run_level(stalling(5.0, 3000.0), closed(2))
    arrivals = tuple(number / 20 for number in range(400))
    shown = run_level(stalling(5.0, 3000.0), opened(arrivals, 20.0))
    assert slow_starts(hidden, open_loop=False) <= 2
    assert slow_starts(shown, open_loop=True) >= 45, "20 a second for 3 s came due while it stood still"
    late = [row for row in shown.requests if row.t_sent - row.t_sched > 1]
    assert late, "requests due during the stall were handed over after it"
    assert all((row.ttft_ms(open_loop=True) or 0) > 1000 for row in late), "and are timed from when they were due"


def test_open_loop_window_and_drain(limits: SchedulerConfig, truth: StepModel) -> None:
    arrivals = tuple(number / 2 for number in range(20))
    log = simulate(limits, truth.ms, opened(arrivals, 8.0, warm_in_s=2.0))
    assert log.window == (2.0, 10.0)
    assert all(row.finished for row in log.requests), "requests in the window are followed to their end"
    assert log.duration_s >= 10.0
    cut = simulate(limits, lambda *work: 400.0, opened(arrivals, 8.0, limit_s=1.0, warm_in_s=2.0))
    assert not all(row.finished for row in cut.requests)
    assert cut.duration_s < 12.0


def test_a_stop_keeps_what_was_measured(limits: SchedulerConfig, truth: StepModel) -> None:
    asked = iter(range(1000))
    log = run_level(SimulatedBackend(limits, truth.ms), closed(4), stopped=lambda: next(asked) > 100)
    assert not log.complete
    assert len(log.steps) == 101
    assert log.window is not None
    assert log.window[1] <= log.duration_s + 1e-9


def test_progress_is_reported_about_each_second(limits: SchedulerConfig, truth: StepModel) -> None:
    seen: list[tuple[float, int]] = []
    run_level(SimulatedBackend(limits, truth.ms), closed(2, 5.0), report=lambda *line: seen.append(line))
    assert 4 <= len(seen) <= 6
    assert seen == sorted(seen)


def test_specs_and_logs_travel_as_json(limits: SchedulerConfig, truth: StepModel) -> None:
    for spec in (closed(3, 2.0), opened((0.0, 0.1, 0.5), 1.0)):
        assert LevelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
        log = simulate(limits, truth.ms, spec, keep_steps=True)
        assert LevelLog.from_json(json.loads(json.dumps(log.to_json()))) == log
