"""A replica that stands in for a server which shows no iterations, so that its open-loop runs have twins as well.

Nobody knows how such a server schedules. This is our own scheduler with the step times and limits by which it would
have shown its client the same closed loops: throughput, TTFT and TPOT of each. It says nothing about the inside of the
server. What it shares with it is the luck of a run's arrivals and lengths, and that is what twins are for: a stand-in
that is off biases both the twin and the curve that the ratio is applied to.

The times are found by Gauss-Newton on logarithms, each guess simulating every closed loop with the very requests that
were sent; how many tokens a step takes and how many requests run at once, by trying a few.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.calibrate.huber import Vector
from engine.calibrate.level import LevelLog
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.replica import StandIn
from engine.calibrate.simulator import simulate
from engine.calibrate.step_model import BEYOND_KNOT, FEWEST_LEVELS, KNOTS, Bend, StepModel
from engine.config import SchedulerConfig

TOKEN_BUDGETS = (2048, 512, 8192)  # of a step, as servers have them; the first is tried first
MOST_ROWS = 256
WORSE = 1.05  # times the error: fewer rows are no longer tried
BLOCK_SIZE = 64
FIRST_ROUNDS, NEXT_ROUNDS = 8, 3
NUDGE = 0.04  # of a logarithm, to see what it does
SETTLED = 0.003
LEAST_SHARE = 1e-3  # of a lone request's time per token: what no cost is below


def stand_in(
    levels: Sequence[MeasuredLevel], longest: int, checkpoint: Callable[[], None] = lambda: None
) -> StandIn | None:
    """The stand-in that shows closed loops most alike; None for fewer than three of them.

    `longest` is how many tokens a request of the workload has at most. `checkpoint` is called before each guess of the
    limits, and may raise to end it.
    """
    search = _Search([level for level in levels if level.usable and _seen(level.log)], longest)
    if len(search.levels) < FEWEST_LEVELS:
        return None
    best = search.settled(search.first_guess(), search.limits(MOST_ROWS, TOKEN_BUDGETS[0]), FIRST_ROUNDS)
    for budget in TOKEN_BUDGETS[1:]:
        checkpoint()
        found = search.settled(best.costs, search.limits(MOST_ROWS, budget), NEXT_ROUNDS)
        best = min(best, found, key=lambda one: one.error)
    for rows in reversed(search.concurrencies):
        checkpoint()
        found = search.settled(best.costs, search.limits(rows, max(rows, best.limits.token_budget)), NEXT_ROUNDS)
        if found.error > WORSE * best.error:
            break
        best = min(best, found, key=lambda one: one.error)
    return StandIn(search.model(best.costs), best.limits, best.error)


@dataclass(frozen=True, slots=True)
class _Found:
    costs: Vector
    limits: SchedulerConfig
    error: float


class _Search:
    """What does not change from one guess to the next: closed loops, by ascending N, and what was seen in them."""

    def __init__(self, levels: Sequence[MeasuredLevel], longest: int) -> None:
        self.levels = sorted(levels, key=lambda level: level.spec.concurrency or 0)
        self.concurrencies = sorted({level.spec.concurrency or 0 for level in levels})
        self.seen = [_seen(level.log) for level in self.levels]
        self.knots = [knot for knot in KNOTS if self.concurrencies and self.concurrencies[-1] >= BEYOND_KNOT * knot]
        self.longest = longest

    def limits(self, rows: int, budget: int) -> SchedulerConfig:
        """With memory for all rows: where a server lacks it, fewer rows show the same."""
        blocks = 2 + rows * (1 + self.longest // BLOCK_SIZE)
        return SchedulerConfig(rows, budget, BLOCK_SIZE, blocks, max_model_len=self.longest + 1)

    def first_guess(self) -> Vector:
        """Logarithms of milliseconds for a step, a sequence in it and a prompt token, then for sequences in larger
        batches: as a lone request shows the first and the third, with a tenth for the second."""
        alone = self.seen[0]
        token_ms, first_ms = math.exp(alone["tpot"] if "tpot" in alone else alone["ttft"]), math.exp(alone["ttft"])
        prompt = statistics.fmean(row.input for row in self.levels[0].log.requests)
        prompt_ms = max(first_ms - token_ms, LEAST_SHARE * first_ms) / prompt
        return np.log([0.9 * token_ms, 0.1 * token_ms, prompt_ms, *[0.1 * token_ms for _ in self.knots]])

    def model(self, costs: Vector) -> StepModel:
        step, sequence, prompt, *larger = np.exp(costs).tolist()
        bends = tuple(Bend(knot, b, 0.0) for knot, b in zip(self.knots, larger, strict=True))
        return StepModel(step, step, 0.0, sequence, prompt, 0.0, 0.0, bends)

    def settled(self, costs: Vector, limits: SchedulerConfig, rounds: int) -> _Found:
        """Gauss-Newton; a step that makes it worse is halved, and is the last when that does not help."""
        floor = self.first_guess()[0] + math.log(LEAST_SHARE)
        floors = np.array([floor, floor, floor - math.log(self.longest), *[floor for _ in self.knots]])
        off = self._off(costs, limits)
        for _ in range(rounds):
            slopes = np.array([self._off(nudged, limits) - off for nudged in costs + NUDGE * np.eye(len(costs))]).T
            step = np.linalg.lstsq(slopes / NUDGE, -off, rcond=None)[0].clip(-1, 1)
            tries = [np.maximum(floors, costs + share * step) for share in (1.0, 0.5, 0.25)]
            errors = [self._off(guess, limits) for guess in tries]
            best = min(range(len(tries)), key=lambda number: _size(errors[number]))
            gained = _size(off) - _size(errors[best])
            if gained > 0:
                costs, off = tries[best], errors[best]
            if gained < SETTLED:
                break
        return _Found(costs, limits, _size(off))

    def _off(self, costs: Vector, limits: SchedulerConfig) -> Vector:
        """What the guess shows of each closed loop, less what was seen."""
        step_ms = self.model(costs).ms
        differences = []
        for level, seen in zip(self.levels, self.seen, strict=True):
            shown = _seen(simulate(limits, step_ms, replace(level.spec, limit_s=math.inf), remote=True))
            differences += [shown.get(name, value) - value for name, value in seen.items()]
        return np.array(differences)


def _size(off: Vector) -> float:
    return float(np.sqrt(np.mean(off**2)))


def _seen(log: LevelLog) -> dict[str, float]:
    """Logarithms of output tokens a second inside the window, and of mean TTFT and TPOT in milliseconds, also of those
    that were cut; what there was none of is left out."""
    rows = [row for row in log.requests if row.t_first is not None]
    ttft = [ms for row in rows if (ms := row.ttft_ms(open_loop=False)) is not None]
    tpot = [ms for row in rows if (ms := row.tpot_ms) is not None]
    opens, closes = log.window or (0.0, 0.0)
    tokens = sum(_within(row.t_first or 0.0, row.t_last or 0.0, row.output, opens, closes) for row in rows)
    values = {
        "rate": tokens / (closes - opens) if closes > opens else 0.0,
        "ttft": statistics.fmean(ttft) if ttft else 0.0,
        "tpot": statistics.fmean(tpot) if tpot else 0.0,
    }
    return {name: math.log(value) for name, value in values.items() if value > 0}


def _within(first: float, last: float, tokens: int, opens: float, closes: float) -> float:
    """How many of a request's tokens came inside the window, were they evenly spread between its first and its last."""
    if last <= first:
        return tokens if opens < first <= closes else 0.0
    return tokens * max(0.0, min(last, closes) - max(first, opens)) / (last - first)
