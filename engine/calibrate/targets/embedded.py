"""Our engine as a child process (engine/worker.py)."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.targets import TargetFacts
from engine.calibrate.targets.child import Child
from engine.config import EngineOptions, SchedulerConfig

COMMAND = (sys.executable, "-m", "engine.worker")


class EmbeddedTarget:
    """Starts the worker, hands it levels, and ends it."""

    def __init__(
        self, model: Path, options: EngineOptions, threads: int | None, command: Sequence[str] = COMMAND
    ) -> None:
        self._model = model
        self._options = options
        self._threads = threads
        self._worker = Child(command, "the engine")

    def clock(self) -> float:
        return time.monotonic()

    def start(self, stopped: Callable[[], bool]) -> TargetFacts:
        started = self.clock()
        self._worker.start()
        options = asdict(self._options)
        self._worker.send({"command": "start", "model": str(self._model), "options": options, "threads": self._threads})
        ready = self._worker.answer("ready", stopped)
        return TargetFacts(
            device=ready["device"],
            dtype=ready["dtype"],
            kv_dtype=ready["kv_dtype"],
            quantization=None if ready["quantization"] == "none" else ready["quantization"],
            operations=ready["operations"],
            threads=ready["threads"],
            scheduler=SchedulerConfig(**ready["scheduler"]),
            load_s=self.clock() - started,
        )

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        self._worker.send({"command": "generate", "prompts": prompts, "max_tokens": max_tokens})
        tokens: list[list[int]] = self._worker.answer("generated", lambda: False)["tokens"]
        return tokens

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        return self._worker.run(spec, stopped, report)

    def pids(self) -> tuple[int, ...]:
        return self._worker.pids()

    def close(self) -> None:
        self._worker.close()
