"""The engine's scheduler under a virtual clock as a target: the whole protocol without a model, in a second."""

from collections.abc import Callable, Sequence

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.load import run_level
from engine.calibrate.simulator import SimulatedBackend, StepTime
from engine.calibrate.targets import TargetFacts
from engine.config import SchedulerConfig


class SimulatedTarget:
    """A replica with a known step time. Its tokens are a fixed function of the prompt."""

    def __init__(self, config: SchedulerConfig, step_ms: StepTime, load_s: float = 1.0) -> None:
        self.config = config
        self.load_s = load_s
        self.backend = SimulatedBackend(config, step_ms)

    def clock(self) -> float:
        return self.backend.now()

    def start(self, stopped: Callable[[], bool]) -> TargetFacts:
        self.backend.wait_until(self.load_s)
        return TargetFacts("cpu", "float32", "float32", None, "simulated", None, self.config, self.load_s)

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        return [[(sum(prompt) + place) % 50 for place in range(max_tokens)] for prompt in prompts]

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        return run_level(self.backend, spec, stopped=stopped, report=report)

    def pids(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        """Nothing is held."""
