"""A calibration from its first phase to its last."""

import contextlib
import time
from collections.abc import Callable

from engine.calibrate.bench import Announce, Bench
from engine.calibrate.journal import Journal
from engine.calibrate.measured import Measured
from engine.calibrate.protocol import mapping, opening, prediction, stress, sweep
from engine.calibrate.protocol.ask import Ask, check_fits
from engine.calibrate.protocol.state import Calibration
from engine.calibrate.targets import Stopped, Target

SECONDS_A_MINUTE = 60

Phase = Callable[[Calibration], None]


def calibrate(
    ask: Ask,
    target: Target,
    told_to_stop: Callable[[], bool],
    announce: Announce,
    journal: Journal | None = None,
) -> Measured:
    """Run the protocol; raises InputError for what can't be measured here, TargetError when the target fails.

    What the journal holds is not measured again.
    """
    if ask.shape is not None:
        check_fits(ask.workload, ask.shape.max_position)
    journal = journal or Journal()
    bench = Bench(target, ask.workload, ask.seed, ask.max_minutes * SECONDS_A_MINUTE, told_to_stop, announce, journal)
    try:
        with contextlib.ExitStack() as watches:
            _run(Calibration(ask, bench, watches))
    except Stopped:
        return bench.measured
    finally:
        target.close()
    bench.measured.complete = True
    return bench.measured


def _run(run: Calibration) -> None:
    for phase in _phases(run):
        run.bench.checkpoint()
        run.bench.phase = phase.__name__
        started = time.monotonic()
        try:
            phase(run)
        finally:
            run.measured.wall_s[phase.__name__] = round(time.monotonic() - started, 3)


def _phases(run: Calibration) -> list[Phase]:
    phases = [opening.preflight, opening.load, opening.warm_up, mapping.reference, mapping.step_map, mapping.step_model]
    if run.ask.tier == "quick":
        phases += [prediction.verification]
    else:
        phases += [sweep.bracket, sweep.verification, sweep.replication]
    if run.ask.depth.stressed:
        phases += [stress.stress]
    return [*phases, mapping.reference_again]
