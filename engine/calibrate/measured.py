"""What a calibration has brought so far; a stopped one keeps what is here. `assemble` makes the record of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.calibrate.capacity import MaxRate, Metric
from engine.calibrate.contention import CpuUse
from engine.calibrate.level import LevelLog, LevelSpec, StepRow, turns
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.record_parts import ColdStart, Cpu, Gpu, GpuSamples, Smoke, Soak
from engine.calibrate.replica import Replica, StandIn
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import Fit
from engine.calibrate.sweep_fit import SweepFit
from engine.calibrate.targets import TargetFacts

FEWEST_QUIET_STEPS = 40


@dataclass(frozen=True, slots=True)
class MeasuredLevel:
    """A level that ran: what was asked, what happened, and what went on beside it."""

    spec: LevelSpec
    log: LevelLog
    started_at_s: float
    cpu: CpuUse
    gpu: GpuSamples | None = None
    rate: float | None = None  # requests per second offered in open loop, with this gamma shape of arrivals
    burstiness: float | None = None
    oversaturated: bool = False  # ended early, because it fell ever further behind

    @property
    def quiet_steps(self) -> list[StepRow]:
        """Iterations during which nobody else was using the CPU; in a closed loop with what lies between them."""
        steps = self.log.steps if self.spec.open_loop else turns(self.log.steps)
        return [step for step in steps if self.cpu.quiet(step.started_s, step.ended_s)]

    @property
    def disturbed(self) -> bool:
        """Others left too little of it to learn from."""
        quiet = len(self.quiet_steps)
        return quiet < min(FEWEST_QUIET_STEPS, len(self.log.steps)) or quiet < len(self.log.steps) / 2

    @property
    def usable(self) -> bool:
        """Complete, and its window opened."""
        return self.log.complete and self.log.window is not None and self.window_s > 0

    @property
    def window_s(self) -> float:
        return 0.0 if self.log.window is None else self.log.window[1] - self.log.window[0]

    @property
    def output_tokens(self) -> int:
        """Generated inside the window."""
        if self.log.client is not None:
            return self.log.client.output_tokens
        return sum(step.sampled for step in self.log.steps if self._counts(step.ended_s))

    @property
    def input_tokens(self) -> int:
        """Prompt tokens computed inside the window."""
        if self.log.client is not None:
            return self.log.client.input_tokens
        return sum(step.prefill_tokens for step in self.log.steps if self._counts(step.ended_s))

    @property
    def output_tokens_per_s(self) -> float:
        return self.output_tokens / self.window_s if self.window_s else 0.0

    def _counts(self, at: float) -> bool:
        return self.log.window is not None and self.log.window[0] < at <= self.log.window[1]


def output_tokens_per_s(runs: Sequence[MeasuredLevel]) -> float:
    """Over all windows of runs at the same N."""
    seconds = sum(level.window_s for level in runs)
    return sum(level.output_tokens for level in runs) / seconds if seconds else 0.0


@dataclass(slots=True)
class Measured:
    """Filled phase by phase."""

    wall_s: dict[str, float] = field(default_factory=dict)
    complete: bool = False
    cpu: Cpu | None = None
    gpus: tuple[Gpu, ...] = ()
    gpu_strangers: int = 0
    facts: TargetFacts | None = None
    smoke: Smoke | None = None
    cold_start: ColdStart | None = None
    soak: Soak | None = None
    levels: list[MeasuredLevel] = field(default_factory=list)
    fitted: tuple[MeasuredLevel, ...] = ()
    slow: tuple[MeasuredLevel, ...] = ()  # the machine was slower in them than in another run of the same N
    fit: Fit | None = None
    stand_in: StandIn | None = None  # of a black box
    max_rate: MaxRate | None = None
    simultaneous: int | None = None  # sequences at once in 99 % of the simulated steps at λ*
    predicted: MeasuredLevel | None = None  # the verification level's requests, replayed in the simulator
    sweep: SweepFit | None = None  # what open-loop runs showed
    sweep_window_s: float | None = None
    infeasible: bool = False  # even one request at a time is over a limit, by the levels themselves
    drift: float | None = None
    resumed: int = 0  # how often this calibration was gone on with after it had been killed or stopped

    @property
    def replica(self) -> Replica | None:
        """What gives open-loop runs their twins; None where neither a step model nor a stand-in is near enough."""
        if self.stand_in is not None:
            return self.stand_in.replica if self.stand_in.holds else None
        if self.facts is None or self.fit is None or not self.fit.twins:
            return None
        return Replica(self.facts.limits, self.fit.model.ms)

    @property
    def alike(self) -> list[MeasuredLevel]:
        """The levels whose traffic is the workload's."""
        return [level for level in self.levels if level.spec.purpose not in ("bursty", "prefix_sharing")]

    @property
    def fastest(self) -> list[MeasuredLevel]:
        """The runs of the closed loop that brought the most tokens a second; empty where none did."""
        runs = self.fitted or [level for level in self.levels if level.usable and not level.spec.open_loop]
        by_concurrency: dict[int | None, list[MeasuredLevel]] = {}
        for level in runs:
            by_concurrency.setdefault(level.spec.concurrency, []).append(level)
        found = max(by_concurrency.values(), key=output_tokens_per_s, default=[])
        return found if output_tokens_per_s(found) else []

    def purpose(self, purpose: str) -> list[MeasuredLevel]:
        return [level for level in self.levels if level.spec.purpose == purpose]

    def alone(self) -> dict[Metric, float]:
        """p95 TTFT and TPOT in milliseconds of the closed loop of one; empty where it was not measured."""
        levels = [level for level in self.purpose("step_map") if level.spec.concurrency == 1]
        rows = [row for level in levels for row in level.log.requests if row.t_first is not None]
        ttft = [ms for row in rows if (ms := row.ttft_ms(open_loop=False)) is not None]
        tpot = [ms for row in rows if (ms := row.tpot_ms) is not None]
        if not ttft:
            return {}
        return {"ttft_p95_ms": nearest_rank(ttft, 0.95), "tpot_p95_ms": nearest_rank(tpot, 0.95) if tpot else 0.0}

    def misses_alone(self, slo: Slo) -> bool:
        """Whether even one request at a time is over a limit."""
        return any(value > getattr(slo, metric) for metric, value in self.alone().items())
