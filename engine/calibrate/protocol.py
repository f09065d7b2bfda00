"""The phases of a quick calibration, in order. Each fills `Measured`; told to stop, it keeps what is there.

preflight ─► load ─► warm_up ─► reference ─► step_map ─► step_model ─► verification ─► reference_again
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.calibrate.bench import Announce, Bench
from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.gpu import GpuWatch
from engine.calibrate.level import LevelSpec
from engine.calibrate.measured import Measured, MeasuredLevel
from engine.calibrate.plan import Outcome, Plan, plan_levels, worth_running
from engine.calibrate.preflight import cpu_facts
from engine.calibrate.record_parts import ColdStart
from engine.calibrate.simulator import OpenLoad, simulate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import FEWEST_LEVELS, fit_levels
from engine.calibrate.targets import Stopped, Target
from engine.calibrate.warm_up import probe, slower, smoke, soak
from engine.calibrate.workload import Workload
from engine.config import ModelShape
from engine.errors import InputError

REPEATS = 3  # of levels during which somebody else used the CPU
FEWEST_REQUESTS = 5  # of a verification
LONGEST_VERIFICATION = 1.5  # times the planned seconds
DRAIN_REQUESTS = 4  # so many times a lone request's time is waited for the last ones
UNPLANNED_SHARE = 0.5  # of saturation: the verification's rate when there is no λ_plan
SECONDS_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be measured. `shape` is the model's; `max_minutes` bounds the whole run."""

    shape: ModelShape
    workload: Workload
    slo: Slo
    seed: int
    max_minutes: float


def calibrate(ask: Ask, target: Target, told_to_stop: Callable[[], bool], announce: Announce) -> Measured:
    """Run the quick protocol; raises InputError for what can't be measured here, TargetError when the target fails."""
    check_fits(ask.workload, ask.shape.max_position)
    bench = Bench(target, ask.workload, ask.seed, ask.max_minutes * SECONDS_A_MINUTE, told_to_stop, announce)
    try:
        with contextlib.ExitStack() as watches:
            _Quick(ask, bench, watches).run()
    except Stopped:
        return bench.measured
    finally:
        target.close()
    bench.measured.complete = True
    return bench.measured


def check_fits(workload: Workload, longest: int) -> None:
    """Raise InputError when some requests are longer than the model: leaving them out would change the workload."""
    beyond = workload.beyond(longest)
    if beyond:
        pair = workload.longest
        raise InputError(
            f"workload: {beyond} of {len(workload.lengths)} lengths exceed the model's {longest} tokens, the longest "
            f"has {pair.input} input and {pair.output} output tokens; take a shorter workload or another model"
        )


class _Quick:
    """One run of the protocol."""

    def __init__(self, ask: Ask, bench: Bench, watches: contextlib.ExitStack) -> None:
        self.ask = ask
        self.bench = bench
        self.watches = watches
        self.measured = bench.measured
        self._repeats = 0

    def run(self) -> None:
        phases = (
            self.preflight,
            self.load,
            self.warm_up,
            self.reference,
            self.step_map,
            self.step_model,
            self.verification,
            self.reference_again,
        )
        for phase in phases:
            self.bench.checkpoint()
            self.bench.phase = phase.__name__
            started = time.monotonic()
            try:
                phase()
            finally:
                self.measured.wall_s[phase.__name__] = round(time.monotonic() - started, 3)

    def preflight(self) -> None:
        self.measured.cpu = cpu_facts()
        self.bench.say(f"{self.measured.cpu.model}, {self.measured.cpu.cores} cores")

    def load(self) -> None:
        """Start the target, see that it repeats itself, and time it from nothing to the first token."""
        self.bench.say("loading the model")
        started = self.bench.elapsed_s
        self.facts = self.measured.facts = self.bench.target.start(self.bench.stopped)
        if self.facts.device == "cuda":
            self._watch_gpu()
        loaded = self.bench.elapsed_s
        check_fits(self.ask.workload, self.facts.scheduler.max_model_len)
        self.bench.target.generate([[0]], 1)
        answered = self.bench.elapsed_s
        self.measured.cold_start = ColdStart(
            seconds=answered - started, load_s=self.facts.load_s, first_token_s=answered - loaded
        )
        self.measured.smoke = smoke(self.bench, self.ask.shape.vocab)

    def _watch_gpu(self) -> None:
        self.bench.gpu = gpu = self.watches.enter_context(GpuWatch())
        self.measured.gpus = (gpu.facts(),)
        self.measured.gpu_strangers = gpu.strangers()

    def warm_up(self) -> None:
        """Time a lone request, share out the time by it, and soak."""
        self.pace = probe(self.bench)
        self.plan = self._planned()
        self.bench.expected_s = self.plan.total_s
        levels = ", ".join(map(str, self.plan.ladder))
        self.bench.say(f"levels {levels}, {self.plan.window_s:.1f} s each")
        limit = self.plan.opening_s(self.plan.reference, self.pace)
        self.measured.soak = soak(self.bench, self.plan.reference, self.plan.reference_s, limit)
        self.plan = self._planned()

    def _planned(self) -> Plan:
        facts, bench = self.facts, self.bench
        plan = plan_levels(self.pace, self.ask.workload, facts.scheduler, facts.device, bench.elapsed_s, bench.max_s)
        if len(plan.ladder) < FEWEST_LEVELS:
            raise InputError(
                f"only {plan.ladder[-1]} at a time can be measured and a prediction needs 4: one request takes "
                f"{self.pace.request_s(self.ask.workload):.1f} s alone here, the engine runs "
                f"{facts.scheduler.rows} at once with {facts.scheduler.num_blocks} KV blocks; raise --max-minutes "
                f"(now {self.ask.max_minutes:g}) or --max-batch, or take a shorter workload"
            )
        return plan

    def reference(self) -> None:
        self._quiet(self._reference_spec("reference"))

    def step_map(self) -> None:
        """Closed loops in shuffled order, so that a slow drift does not look like an effect of N."""
        seen: dict[int, Outcome] = {}
        for concurrency in np.random.default_rng(self.ask.seed).permutation(self.plan.ladder).tolist():
            limit = self.plan.opening_s(concurrency, self.pace)
            expected = concurrency * self.pace.prefill_s + self.plan.window_s
            if worth_running(concurrency, seen, self.ask.slo) and self._time_for(expected):
                spec = self.bench.closed("step_map", concurrency, self.plan.window_s, limit)
                seen[concurrency] = _outcome(self._quiet(spec))

    def step_model(self) -> None:
        """Fit, judge on held-out levels, and where the model holds, simulate open loop to find λ*."""
        self.measured.fitted = _fitted(self.measured.purpose("step_map"))
        if len(self.measured.fitted) < FEWEST_LEVELS:
            return
        fit = self.measured.fit = fit_levels({level.spec.id: level.quiet_steps for level in self.measured.fitted})
        if not fit.holds:
            return
        self.bench.say(f"step model within {100 * (fit.mdape or 0):.1f} % of held-out levels; simulating open loop")
        search = Search(self.facts.scheduler, self.ask.workload, self.ask.slo, self.ask.seed, self.bench.checkpoint)
        self.measured.max_rate = found = max_rate(
            search, fit.model.ms, [level.model.ms for level in fit.held_out], fit.unsteadiness, self._saturation()
        )
        if found.requests_per_s is not None:
            self.measured.simultaneous = search.simultaneous(fit.model.ms, found.requests_per_s)

    def _saturation(self) -> float:
        """Requests per second of the fastest level."""
        fastest = max(level.output_tokens_per_s for level in self.measured.fitted)
        return fastest / self.ask.workload.mean[1]

    def verification(self) -> None:
        """One open-loop level at about λ_plan, and the same requests in the simulator."""
        fit, found = self.measured.fit, self.measured.max_rate
        if fit is None or found is None:
            return
        rate = found.low or UNPLANNED_SHARE * self._saturation()
        level = self.bench.run(self._open_spec(rate), rate)
        replayed = simulate(self.facts.scheduler, fit.model.ms, level.spec, keep_steps=True)
        self.measured.predicted = replace(level, log=replayed)

    def _open_spec(self, rate: float) -> LevelSpec:
        seconds = self.plan.verification_within(rate, self.bench.elapsed_s, self.bench.max_s)
        wanted = max(FEWEST_REQUESTS, round(rate * seconds))
        seed = 1000 * self.ask.seed
        load = OpenLoad.draw(self.ask.workload, wanted, seed)
        in_time = sum(at / rate <= LONGEST_VERIFICATION * seconds for at in load.unit_arrivals)
        drain_s = DRAIN_REQUESTS * self.pace.request_s(self.ask.workload)
        return load.first(max(1, in_time)).level(
            f"L{len(self.measured.levels) + 1}", "verification", seed, rate, 0, drain_s
        )

    def reference_again(self) -> None:
        """The first level once more, the same requests: what changed in between is drift."""
        self._quiet(self._reference_spec("reference_again"))
        before, after = (self._undisturbed(purpose) for purpose in ("reference", "reference_again"))
        if before and after:
            self.measured.drift = slower(before.quiet_steps, after.quiet_steps)

    def _undisturbed(self, purpose: str) -> MeasuredLevel | None:
        """A reference during which nobody else used the CPU; another would pass a neighbour off as drift."""
        levels = (level for level in self.measured.purpose(purpose) if level.usable and not level.disturbed)
        return min(levels, key=_disturbance, default=None)

    def _reference_spec(self, purpose: str) -> LevelSpec:
        limit = self.plan.opening_s(self.plan.reference, self.pace)
        return self.bench.closed(purpose, self.plan.reference, self.plan.reference_s, limit, seed=self.ask.seed)

    def _quiet(self, spec: LevelSpec) -> MeasuredLevel:
        """Run a level; once more when somebody else used the CPU meanwhile and there is time. Both are kept."""
        level = self.bench.run(spec)
        if not level.disturbed or self._repeats == REPEATS or not self._time_for(level.log.duration_s):
            return level
        self._repeats += 1
        self.bench.say(f"{spec.id}: other processes took {100 * (level.cpu.others or 0):.0f} % of the CPU; once more")
        again = self.bench.run(replace(spec, id=f"L{len(self.measured.levels) + 1}"))
        return min(level, again, key=_disturbance)

    def _time_for(self, seconds: float) -> bool:
        """Whether so much can be spent here and all that follows still fits."""
        after = self.plan.simulation_s + self.plan.verification_s + self.plan.reference_s
        return self.bench.elapsed_s + seconds + after < self.bench.max_s


def _fitted(levels: Sequence[MeasuredLevel]) -> tuple[MeasuredLevel, ...]:
    """For each N the level that was disturbed least, if enough of it was quiet."""
    best: dict[int | None, MeasuredLevel] = {}
    for level in sorted(levels, key=_disturbance):
        if level.usable and not level.disturbed:
            best.setdefault(level.spec.concurrency, level)
    return tuple(sorted(best.values(), key=lambda level: level.spec.concurrency or 0))


def _disturbance(level: MeasuredLevel) -> float:
    return level.cpu.others or 0.0


def _outcome(level: MeasuredLevel) -> Outcome:
    preempted = sum(step.preempted for step in level.log.steps)
    return Outcome(level.output_tokens_per_s, level.log.itl_gaps_ms.mean, preempted)
