"""Before anything is measured: does the engine repeat itself, how fast is one request, has its speed settled."""

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from engine.calibrate.bench import Bench
from engine.calibrate.level import LevelLog, LevelSpec, StepRow
from engine.calibrate.plan import MOST_SOAK_SLICE_S, Pace
from engine.calibrate.record_parts import Smoke, Soak
from engine.calibrate.step_model import fit_levels
from engine.calibrate.targets import TargetError
from engine.calibrate.workload import Lengths

SMOKE_PROMPTS = 3
SMOKE_INPUT = 24
SMOKE_TOKENS = 8
PROBES = 3
PROBE_TOKENS = 16
SOAK_SLICES = 4
SETTLED = 0.02  # change of step time from one slice to the next


def smoke(bench: Bench, vocab: int) -> Smoke:
    """Greedy tokens must repeat, alone and as a batch; raises TargetError when they don't: nothing measured on such
    an engine means anything."""
    rng = np.random.default_rng(bench.seed)
    prompts: list[list[int]] = rng.integers(vocab, size=(SMOKE_PROMPTS, SMOKE_INPUT)).tolist()
    alone = [[bench.target.generate([prompt], SMOKE_TOKENS)[0] for prompt in prompts] for _ in range(2)]
    batched = [bench.target.generate(prompts, SMOKE_TOKENS) for _ in range(2)]
    for how, (first, second) in (("alone", alone), ("as a batch", batched)):
        if first != second:
            raise TargetError(
                f"correctness: the same prompts gave different greedy tokens the second time, {how}; "
                "nothing was measured, as the engine or the machine is faulty"
            )
    pairs = zip(itertools.chain(*alone[0]), itertools.chain(*batched[0]), strict=True)
    return Smoke(
        alone_repeats=True,
        batched_repeats=True,
        tokens=SMOKE_PROMPTS * SMOKE_TOKENS,
        batched_equal_alone=sum(one == other for one, other in pairs),
    )


def probe(bench: Bench) -> Pace:
    """Time a request of the workload's mean prompt, alone: the best of a few, as all else only makes it slower."""
    mean_input, mean_output = bench.workload.mean
    lengths = Lengths(max(1, round(mean_input)), max(2, min(PROBE_TOKENS, round(mean_output))))
    content = bench.workload.content
    spec = LevelSpec("probe", "probe", bench.seed, (lengths,), 0.0, bench.max_s, arrivals=(0.0,), content=content)
    paces = []
    for _ in range(PROBES):
        row = bench.target.run(spec, bench.stopped, lambda seconds, tokens: None).requests[0]
        bench.checkpoint()
        prefill_ms, token_ms = row.ttft_ms(open_loop=True), row.tpot_ms
        if prefill_ms is None or token_ms is None:
            raise TargetError("the engine gave no tokens for a single request")
        paces.append(Pace(prefill_ms / 1000, token_ms / 1000))
    return Pace(min(pace.prefill_s for pace in paces), min(pace.token_s for pace in paces))


def soak(bench: Bench, concurrency: int, slice_s: float, limit_s: float) -> Soak:
    """Keep the engine under load until a step takes as long as it did a slice ago, at most SOAK_SLICES slices."""
    started = bench.elapsed_s
    slice_s = min(slice_s, MOST_SOAK_SLICE_S)
    change: float | None = None
    before: LevelLog | None = None
    spec = bench.closed("soak", concurrency, slice_s, limit_s)
    for number in range(1, SOAK_SLICES + 1):
        bench.checkpoint()
        bench.say(f"warming up, {number} of at most {SOAK_SLICES}")
        log = bench.target.run(spec, bench.stopped, lambda seconds, tokens: None)
        change = _change(before, log)
        if change is not None and abs(change) < SETTLED:
            break
        before = log
    minutes = (slice_s or 1.0) / 60
    return Soak(
        seconds=bench.elapsed_s - started,
        slope_percent_per_min=None if change is None else 100 * change / minutes,
        settled=change is not None and abs(change) < SETTLED,
    )


def _change(before: LevelLog | None, log: LevelLog) -> float | None:
    """By which share steps took longer than a slice ago; of a black box, by which its tokens were fewer."""
    if before is None:
        return None
    if before.steps and log.steps:
        return slower(before.steps, log.steps)
    if before.client is None or log.client is None or not log.client.output_tokens:
        return None
    return before.client.output_tokens / log.client.output_tokens - 1


def slower(before: Sequence[StepRow], after: Sequence[StepRow]) -> float:
    """By which share steps took longer in the second log, at equal work: a model of both evens the work out."""
    model = fit_levels({"both": [*before, *after]}).model
    first, second = (statistics.median(row.ms / model.of(row) for row in rows) for rows in (before, after))
    return second / first - 1
