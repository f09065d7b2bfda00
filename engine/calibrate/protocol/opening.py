"""From nothing to a warm target whose pace is known; or, going on with a run that was killed, back to there."""

from dataclasses import replace

from engine.calibrate.gpu import GpuWatch
from engine.calibrate.journal import Opening
from engine.calibrate.plan import Plan, plan_levels
from engine.calibrate.preflight import cpu_facts
from engine.calibrate.protocol.ask import check_fits
from engine.calibrate.protocol.state import Calibration
from engine.calibrate.record_parts import ColdStart
from engine.calibrate.step_model import FEWEST_LEVELS
from engine.calibrate.warm_up import probe, smoke, soak
from engine.errors import InputError


def preflight(run: Calibration) -> None:
    run.measured.cpu = cpu_facts()
    run.measured.resumed = run.bench.journal.resumed
    run.bench.say(f"{run.measured.cpu.model}, {run.measured.cpu.cores} cores")


def load(run: Calibration) -> None:
    """Start the target, see that it repeats itself, and time it from nothing to the first token."""
    if run.bench.journal.opening is not None:
        return
    run.bench.say("loading the model")
    started = run.bench.elapsed_s
    _start(run)
    loaded = run.bench.elapsed_s
    if run.facts.scheduler is not None:
        check_fits(run.ask.workload, run.facts.scheduler.max_model_len)
    run.bench.target.generate([[0]], 1)
    answered = run.bench.elapsed_s
    if run.facts.load_s is not None:
        run.measured.cold_start = ColdStart(
            seconds=answered - started, load_s=run.facts.load_s, first_token_s=answered - loaded
        )
    if not run.black_box and run.ask.shape is not None:  # others owe nobody the same tokens twice
        run.measured.smoke = smoke(run.bench, run.ask.shape.vocab)


def _start(run: Calibration) -> None:
    run.facts = run.measured.facts = run.bench.target.start(run.bench.stopped)
    if run.facts.device == "cuda":
        run.bench.gpu = gpu = run.watches.enter_context(GpuWatch())
        run.measured.gpus = (gpu.facts(),)
        run.measured.gpu_strangers = gpu.strangers()


def warm_up(run: Calibration) -> None:
    """Time a lone request, share out the time by it, and soak."""
    if run.bench.journal.opening is not None:
        _remember(run, run.bench.journal.opening)
        return
    run.pace = probe(run.bench)
    run.plan = _planned(run)
    run.bench.expected_s = run.plan.total_s
    run.bench.say(f"levels {', '.join(map(str, run.plan.ladder))}, {run.plan.window_s:.1f} s each")
    _soak(run)
    run.plan = _planned(run)
    run.reserved_s = run.plan.after_s
    run.bench.journal.keep_opening(_opening(run))


def _soak(run: Calibration) -> None:
    limit = run.plan.opening_s(run.plan.reference, run.pace)
    run.measured.soak = soak(run.bench, run.plan.reference, run.plan.reference_s, limit)


def _opening(run: Calibration) -> Opening:
    measured = run.measured
    return Opening(
        facts=run.facts,
        cpu=measured.cpu or cpu_facts(),
        gpus=measured.gpus,
        gpu_strangers=measured.gpu_strangers,
        smoke=measured.smoke,
        cold_start=measured.cold_start,
        soak=measured.soak,
        pace=run.pace,
        plan=run.plan,
        elapsed_s=run.bench.elapsed_s,
    )


def _remember(run: Calibration, opening: Opening) -> None:
    """What the killed run found, so that every decision falls as it did; the target wakes when a level is missing."""
    measured = run.measured
    run.facts = measured.facts = opening.facts
    measured.gpus, measured.gpu_strangers = opening.gpus, opening.gpu_strangers
    measured.smoke, measured.cold_start, measured.soak = opening.smoke, opening.cold_start, opening.soak
    run.pace, run.plan, run.reserved_s = opening.pace, opening.plan, opening.plan.after_s
    run.bench.expected_s = run.plan.total_s
    kept = len(run.bench.journal.levels)
    run.bench.say(f"going on with a calibration of which {kept} levels are finished")
    run.bench.wake = lambda: _wake(run, opening)


def _wake(run: Calibration, opening: Opening) -> None:
    """Start and warm the target again; raises InputError when it, or the machine, is not the one it was."""
    run.bench.say("loading the model again")
    _start(run)
    pairs = [("CPU", opening.cpu.model, cpu_facts().model), ("GPUs", opening.gpus, run.measured.gpus)]
    before, now = replace(opening.facts, load_s=None), replace(run.facts, load_s=None)
    pairs += [(name, getattr(before, name), getattr(now, name)) for name in type(now).__slots__]
    for name, was, found in pairs:
        if was != found:
            raise InputError(
                f"--resume: {name} was {was} when this calibration began and is {found} now; calibrate anew, or go on "
                "where it began"
            )
    run.facts = run.measured.facts = opening.facts
    _soak(run)


def _planned(run: Calibration) -> Plan:
    bench, scheduler = run.bench, run.facts.scheduler
    plan = plan_levels(
        run.pace, run.ask.workload, scheduler, run.facts.device, bench.elapsed_s, bench.max_s, run.ask.depth.map_share
    )
    if len(plan.ladder) < FEWEST_LEVELS and scheduler is not None:
        raise InputError(
            f"only {plan.ladder[-1]} at a time can be measured and a prediction needs 4: one request takes "
            f"{run.pace.request_s(run.ask.workload):.1f} s alone here, the engine runs "
            f"{scheduler.rows} at once with {scheduler.num_blocks} KV blocks; raise --max-minutes "
            f"(now {run.ask.max_minutes:g}) or --max-batch, or take a shorter workload"
        )
    return plan
