"""The target with everything that is watched while it works: the clock, the CPU, the GPU, and whether to stop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.calibrate.contention import CpuUse, CpuWatch
from engine.calibrate.gpu import GpuWatch
from engine.calibrate.journal import Journal
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.oversaturation import Oversaturation
from engine.calibrate.targets import Stopped, Target
from engine.calibrate.workload import Workload

DRAWN_LENGTHS = 256  # of a closed loop, used in turn

Announce = Callable[[str, float, str, dict[str, Any]], None]


class Bench:
    """Runs levels on a target, notes them in `measured` and in the journal, and says how far it has come.

    `told_to_stop` is asked between steps; running past `max_s` counts as being told. A level that the journal has is
    not run again: it is as if it had just ended, and time goes on from there.
    """

    def __init__(
        self,
        target: Target,
        workload: Workload,
        seed: int,
        max_s: float,
        told_to_stop: Callable[[], bool],
        announce: Announce,
        journal: Journal,
    ) -> None:
        self.target = target
        self.workload = workload
        self.seed = seed
        self.max_s = max_s
        self.expected_s = max_s
        self.measured = Measured()
        self.gpu: GpuWatch | None = None
        self.phase = ""
        self.journal = journal
        self.wake: Callable[[], None] | None = None  # called before the first level that the journal lacks
        self._percent = 0.0
        self._before_s = journal.elapsed_s  # of the session that is gone on with; 0 in a new calibration
        self._told_to_stop = told_to_stop
        self._announce = announce
        self._started = target.clock()

    @property
    def elapsed_s(self) -> float:
        if self.journal.replaying:
            return self.journal.replayed_until_s
        return self._before_s + self.target.clock() - self._started

    @property
    def next_id(self) -> str:
        return f"L{len(self.measured.levels) + 1}"

    def stopped(self) -> bool:
        return self._told_to_stop() or self.elapsed_s > self.max_s

    def checkpoint(self) -> None:
        """Raise Stopped when it is time to end."""
        if self.stopped():
            raise Stopped

    def say(self, message: str, **numbers: float) -> None:
        """Announce progress; percent is time spent of time expected, and 100 is kept for the end."""
        self._percent = percent = max(self._percent, min(99.0, 100 * self.elapsed_s / self.expected_s))
        left = max(0.0, self.expected_s - self.elapsed_s)
        self._announce(self.phase, percent, message, {"seconds_left": round(left), **numbers})

    def closed(
        self, purpose: str, concurrency: int, window_s: float, limit_s: float, seed: int | None = None
    ) -> LevelSpec:
        """A closed-loop level of the workload; its seed is new unless given."""
        number = len(self.measured.levels) + 1
        drawn = 1000 * self.seed + number if seed is None else seed
        return LevelSpec(
            id=f"L{number}",
            purpose=purpose,
            seed=drawn,
            lengths=self.workload.sample(DRAWN_LENGTHS, np.random.default_rng(drawn)),
            window_s=window_s,
            limit_s=limit_s,
            concurrency=concurrency,
            content=self.workload.content,
        )

    def run(self, spec: LevelSpec, rate: float | None = None, burstiness: float | None = None) -> MeasuredLevel:
        """Run a level and keep it, even one that was cut short; then raises Stopped.

        An open loop has a `rate`, and the workload's burstiness unless another is given.
        """
        self.checkpoint()
        what = f"{spec.concurrency} at a time" if rate is None else f"{rate:.3g} requests/s"
        level = self.journal.next_level(spec) or self._run_now(spec, rate, burstiness, what)
        self.measured.levels.append(level)
        self.say(
            f"{spec.id}: {what}: {level.output_tokens_per_s:.1f} output tokens/s",
            output_tokens_per_s=round(level.output_tokens_per_s, 2),
        )
        if not level.log.complete and not level.oversaturated:
            raise Stopped
        return level

    def _run_now(self, spec: LevelSpec, rate: float | None, burstiness: float | None, what: str) -> MeasuredLevel:
        if self.wake is not None:
            wake, self.wake = self.wake, None
            self._started = self.target.clock()
            wake()
        self.say(f"{spec.id}: {what}")
        level = self._watched(spec, rate, burstiness, what)
        if level.log.complete or level.oversaturated:
            self.journal.keep_level(level, self.elapsed_s)
        return level

    def _watched(self, spec: LevelSpec, rate: float | None, burstiness: float | None, what: str) -> MeasuredLevel:
        guard = Oversaturation(spec)

        def report(seconds: float, tokens: int) -> None:
            guard.see(seconds, tokens)
            self.say(f"{spec.id}: {what}", output_tokens_per_s=round(tokens / seconds, 2))

        started = self.elapsed_s
        mark = self.gpu.mark() if self.gpu else 0
        log, cpu = self._run_watched(spec, report, lambda: guard.tripped or self.stopped())
        return MeasuredLevel(
            spec=spec,
            log=log,
            started_at_s=started,
            cpu=cpu,
            gpu=self.gpu.since(mark) if self.gpu else None,
            rate=rate,
            burstiness=None if rate is None else burstiness or self.workload.burstiness,
            oversaturated=guard.tripped,
        )

    def _run_watched(
        self, spec: LevelSpec, report: Callable[[float, int], None], ended: Callable[[], bool]
    ) -> tuple[LevelLog, CpuUse]:
        """Run a level and look at the CPU meanwhile, where the target is made of processes on this machine."""
        pids = self.target.pids()
        if not pids:
            return self.target.run(spec, ended, report), CpuUse()
        with CpuWatch(pids) as watch:
            log = self.target.run(spec, ended, report)
            return log, watch.use()
