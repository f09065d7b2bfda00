"""What each step did and how long it took. Torch-free."""

from dataclasses import dataclass

from engine.scheduler import Scheduler, Step


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One row of the step log; the step model is fitted on these.

    `started_s` is the monotonic clock, `ms` the time until the step's tokens were known; with one step ahead they are
    counted from when the tokens before were known, so that they add up to the time that went by. `decode_context`
    counts KV tokens read by decodes, `prefill_pairs` query-key pairs of prompt chunks.
    """

    started_s: float
    ms: float
    decode_sequences: int
    prefill_tokens: int
    decode_context: int
    prefill_pairs: int
    preempted: int
    waiting: int
    running: int
    free_blocks: int

    @classmethod
    def of(cls, step: Step, scheduler: Scheduler, started_s: float, ended_s: float) -> "StepRecord":
        return cls(
            started_s=started_s,
            ms=(ended_s - started_s) * 1000,
            decode_sequences=len(step.decodes),
            prefill_tokens=step.prefill_tokens,
            decode_context=step.decode_context,
            prefill_pairs=step.prefill_pairs,
            preempted=step.preempted,
            waiting=len(scheduler.waiting),
            running=len(scheduler.running),
            free_blocks=scheduler.pool.available,
        )
