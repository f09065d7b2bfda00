"""What the phases of one calibration share."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.calibrate.bench import Bench
from engine.calibrate.level import LevelSpec
from engine.calibrate.measured import Measured, MeasuredLevel, output_tokens_per_s
from engine.calibrate.plan import Pace, Plan
from engine.calibrate.protocol.ask import Ask
from engine.calibrate.targets import TargetFacts

if TYPE_CHECKING:
    from engine.calibrate.protocol.sweep import Sweep

REPEATS = 3  # of levels during which somebody else used the CPU


@dataclass(slots=True)
class Calibration:
    """One run of the protocol. `facts`, `pace` and `plan` are there once it is warm."""

    ask: Ask
    bench: Bench
    watches: contextlib.ExitStack
    facts: TargetFacts = field(init=False)
    pace: Pace = field(init=False)
    plan: Plan = field(init=False)
    sweep: "Sweep" = field(init=False)
    reserved_s: float = 0.0  # for what follows the step map
    repeats: int = 0

    @property
    def measured(self) -> Measured:
        return self.bench.measured

    @property
    def black_box(self) -> bool:
        """Whether nobody knows the target's scheduler, so that it can't be simulated."""
        return self.facts.scheduler is None

    def saturation_per_s(self) -> float:
        """Requests per second of the fastest closed loop."""
        return output_tokens_per_s(self.measured.fastest) / self.ask.workload.mean[1]

    def quiet(self, spec: LevelSpec, rate: float | None = None) -> MeasuredLevel:
        """Run a level; once more when somebody else used the CPU meanwhile and there is time. Both are kept."""
        level = self.bench.run(spec, rate)
        if not level.disturbed or self.repeats == REPEATS or not self.time_for(level.log.duration_s):
            return level
        self.repeats += 1
        self.bench.say(f"{spec.id}: other processes took {100 * (level.cpu.others or 0):.0f} % of the CPU; once more")
        return least_disturbed([level, self.bench.run(replace(spec, id=self.bench.next_id), rate)])

    def time_for(self, seconds: float) -> bool:
        """Whether so much can be spent here and all that follows still fits."""
        return self.bench.elapsed_s + seconds + self.reserved_s < self.bench.max_s


def least_disturbed(levels: Sequence[MeasuredLevel]) -> MeasuredLevel:
    return min(levels, key=disturbance)


def disturbance(level: MeasuredLevel) -> float:
    return level.cpu.others or 0.0
