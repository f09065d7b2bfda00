"""The guard: ends what can only get worse, and nothing else."""

import numpy as np
import pytest

from engine.calibrate.level import LevelSpec
from engine.calibrate.oversaturation import Oversaturation
from engine.calibrate.simulator import OpenLoad
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.workload import Lengths, Workload, workload_fixed
from engine.config import SchedulerConfig

SUSTAINED = 6.0  # requests per second of 200 and 40 tokens that the server of these tests takes for good; 7.2 it can't


def tripped(target: SimulatedTarget, workload: Workload, rate: float, seed: int) -> float | None:
    """The second at which the guard ends a minute of traffic, None when it does not."""
    spec = OpenLoad.draw(workload, round(80 * rate), seed).level("L1", "verification", seed, rate, round(10 * rate), 30)
    guard = Oversaturation(spec)
    log = target.run(spec, lambda: guard.tripped, guard.see)
    return log.duration_s if guard.tripped else None


@pytest.mark.parametrize("rate", [0.5 * SUSTAINED, SUSTAINED])
def test_traffic_that_can_be_sustained_is_left_alone(rate: float, limits: SchedulerConfig, truth: StepModel) -> None:
    target = SimulatedTarget(limits, truth.ms)
    assert [tripped(target, workload_fixed(200, 40), rate, seed) for seed in range(12)] == [None] * 12


def test_too_much_traffic_is_ended_early(limits: SchedulerConfig, truth: StepModel) -> None:
    """The guard saves time and decides nothing: of 1.5 times too much a minute in six is let run to its end, where it
    misses the SLO by itself. 1.75 times is the least that it is sure of within this minute."""
    target = SimulatedTarget(limits, truth.ms)
    ended = [tripped(target, workload_fixed(200, 40), 1.75 * SUSTAINED, seed) for seed in range(6)]
    assert all(at is not None and at < 60 for at in ended)


def test_a_closed_loop_is_never_ended(limits: SchedulerConfig, truth: StepModel) -> None:
    spec = LevelSpec("L1", "step_map", 1, (Lengths(200, 40),), 60.0, 10.0, concurrency=32)
    guard = Oversaturation(spec)
    SimulatedTarget(limits, truth.ms).run(spec, lambda: guard.tripped, guard.see)
    assert not guard.tripped


def test_a_wave_is_not_a_slope() -> None:
    spec = OpenLoad.draw(workload_fixed(10, 10), 600, 1).level("L1", "verification", 1, 10.0, 0, 0)
    guard = Oversaturation(spec)
    for second in range(1, 60):
        guard.see(second, max(0, 100 * second - 200 - round(150 * np.sin(second / 5))))
    assert not guard.tripped
