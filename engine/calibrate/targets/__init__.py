"""What a calibration can drive. One file a target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.calibrate.level import LevelLog, LevelSpec
from engine.config import SchedulerConfig


class Stopped(Exception):
    """The calibration was told to end before anything could be kept of what it was doing."""


class TargetError(RuntimeError):
    """The target broke down."""


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What a started target says of itself.

    A black box says nothing: its device is "unknown", all else None, and only `model` is known, by the name it goes by
    there. `load_s` is None where the target was running before.
    """

    device: str
    dtype: str | None
    kv_dtype: str | None
    quantization: str | None
    operations: str | None
    threads: int | None
    scheduler: SchedulerConfig | None
    load_s: float | None
    model: str | None = None

    @property
    def limits(self) -> SchedulerConfig:
        """The scheduler's, of a target that can be simulated; ValueError for a black box."""
        if self.scheduler is None:
            raise ValueError("a black box has no scheduler that is known")
        return self.scheduler


class Target(Protocol):
    """A replica to put under load. Its clock is the machine's, or virtual."""

    def clock(self) -> float:
        """Seconds, monotonic."""

    def start(self, stopped: Callable[[], bool]) -> TargetFacts:
        """Load the model; raises InputError when it is refused, Stopped when told to end before it was ready."""

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """Greedy continuations of token ids, as one batch, from a cold prefix cache."""

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        """Run a level. Once `stopped()`, it ends at the next step and its log is not complete."""

    def pids(self) -> tuple[int, ...]:
        """Processes whose CPU time is the target's own."""

    def close(self) -> None: ...
