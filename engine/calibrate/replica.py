"""What open-loop traffic is simulated on: a scheduler's limits, and how long a step takes."""

from dataclasses import dataclass

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.simulator import StepTime, simulate
from engine.calibrate.step_model import StepModel
from engine.config import SchedulerConfig

MOST_ERROR = 0.15  # of a stand-in, in closed loops; one that is further off says nothing


@dataclass(frozen=True, slots=True)
class Replica:
    """Of our engine, as its step log shows it; or what stands in for a server that shows none."""

    limits: SchedulerConfig
    step_ms: StepTime

    def replay(self, spec: LevelSpec, *, keep_steps: bool) -> LevelLog:
        """A level on a fresh replica."""
        return simulate(self.limits, self.step_ms, spec, keep_steps=keep_steps)


@dataclass(frozen=True, slots=True)
class StandIn:
    """Our scheduler with the step times and limits that show closed loops most like a server's.

    `error` is the root mean square of the logarithms of what was seen over what this shows.
    """

    model: StepModel
    limits: SchedulerConfig
    error: float

    @property
    def holds(self) -> bool:
        return self.error <= MOST_ERROR

    @property
    def replica(self) -> Replica:
        return Replica(self.limits, self.model.ms)
