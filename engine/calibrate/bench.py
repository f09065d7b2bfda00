"""The target with everything that is watched while it works: the clock, the CPU, the GPU, and whether to stop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.calibrate.contention import CpuUse, CpuWatch
from engine.calibrate.gpu import GpuWatch
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.targets import Stopped, Target
from engine.calibrate.workload import Workload

DRAWN_LENGTHS = 256  # of a closed loop, used in turn

Announce = Callable[[str, float, str, dict[str, Any]], None]


class Bench:
    """Runs levels on a target, notes them in `measured` and says how far it has come.

    `told_to_stop` is asked between steps; running past `max_s` counts as being told.
    """

    def __init__(
        self,
        target: Target,
        workload: Workload,
        seed: int,
        max_s: float,
        told_to_stop: Callable[[], bool],
        announce: Announce,
    ) -> None:
        self.target = target
        self.workload = workload
        self.seed = seed
        self.max_s = max_s
        self.expected_s = max_s
        self.measured = Measured()
        self.gpu: GpuWatch | None = None
        self.phase = ""
        self._told_to_stop = told_to_stop
        self._announce = announce
        self._started = target.clock()

    @property
    def elapsed_s(self) -> float:
        return self.target.clock() - self._started

    def stopped(self) -> bool:
        return self._told_to_stop() or self.elapsed_s > self.max_s

    def checkpoint(self) -> None:
        """Raise Stopped when it is time to end."""
        if self.stopped():
            raise Stopped

    def say(self, message: str, **numbers: float) -> None:
        """Announce progress; percent is time spent of time expected, and 100 is kept for the end."""
        percent = min(99.0, 100 * self.elapsed_s / self.expected_s)
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

    def run(self, spec: LevelSpec, rate: float | None = None) -> MeasuredLevel:
        """Run a level and keep it, even one that was cut short; then raises Stopped."""
        self.checkpoint()
        what = f"{spec.concurrency} at a time" if rate is None else f"{rate:.3g} requests/s"
        self.say(f"{spec.id}: {what}")
        level = self._watched(spec, rate, what)
        self.measured.levels.append(level)
        self.say(
            f"{spec.id}: {what}: {level.output_tokens_per_s:.1f} output tokens/s",
            output_tokens_per_s=round(level.output_tokens_per_s, 2),
        )
        if not level.log.complete:
            raise Stopped
        return level

    def _watched(self, spec: LevelSpec, rate: float | None, what: str) -> MeasuredLevel:
        def report(seconds: float, tokens: int) -> None:
            self.say(f"{spec.id}: {what}", output_tokens_per_s=round(tokens / seconds, 2))

        started = self.elapsed_s
        mark = self.gpu.mark() if self.gpu else 0
        log, cpu = self._run_watched(spec, report)
        return MeasuredLevel(
            spec=spec,
            log=log,
            started_at_s=started,
            cpu=cpu,
            gpu=self.gpu.since(mark) if self.gpu else None,
            rate=rate,
            burstiness=None if rate is None else self.workload.burstiness,
        )

    def _run_watched(self, spec: LevelSpec, report: Callable[[float, int], None]) -> tuple[LevelLog, CpuUse]:
        """Run a level and look at the CPU meanwhile, where the target is made of processes on this machine."""
        pids = self.target.pids()
        if not pids:
            return self.target.run(spec, self.stopped, report), CpuUse()
        with CpuWatch(pids) as watch:
            log = self.target.run(spec, self.stopped, report)
            return log, watch.use()
