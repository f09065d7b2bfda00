"""Our engine."""

import dataclasses
import statistics
from typing import Any

from benchmarks.scoreboard.contenders.turn import Ran, Run, check_lengths, take_turn
from benchmarks.scoreboard.jobs import Job
from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import SamplingParams
from engine.stats import StepRecord

MAX_BATCH = 512


def load(job: Job) -> Run:
    engine = Engine(job.model, _options(job))

    def run(part: Job, seed: int, until: float) -> Ran:
        requests = [
            engine.add(prompt, SamplingParams(max_tokens=output, ignore_eos=True))
            for prompt, (_, output) in zip(part.prompts(seed), part.lengths, strict=True)
        ]
        steps = [result.record for result in engine.run()]
        check_lengths(part, [len(request.output) for request in requests])
        return Ran(len(requests), {"config": dataclasses.asdict(engine.config), **_steps(steps)})

    return run


def _options(job: Job) -> EngineOptions:
    """On the GPU, which under Triton's interpreter is a CPU: a dry run takes the same way."""
    return EngineOptions(
        device="cuda",
        dtype=job.dtype,
        kv_dtype=job.kv_dtype,
        dummy_weights=True,
        prefix_cache=False,
        max_batch=min(len(job.lengths), MAX_BATCH),
    )


def _steps(steps: list[StepRecord]) -> dict[str, Any]:
    """The median of steps that only decode, at the largest batch there was, says much without a profiler."""
    decodes = [step for step in steps if step.prefill_tokens == 0]
    most = max((step.decode_sequences for step in decodes), default=0)
    full = [step.ms for step in decodes if step.decode_sequences == most]
    return {
        "steps": len(steps),
        "steps_with_prefill": len(steps) - len(decodes),
        "preempted": sum(step.preempted for step in steps),
        "decode_batch_most": most,
        "decode_ms_median_at_most": statistics.median(full) if full else None,
    }


if __name__ == "__main__":
    take_turn(load, ("torch", "triton"))
