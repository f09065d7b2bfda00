"""The quick tier's check: one open-loop level at about λ_plan, beside the same requests in the simulator."""

from dataclasses import replace

from engine.calibrate.level import LevelSpec
from engine.calibrate.protocol.state import Calibration
from engine.calibrate.record_derived import FEWEST_REQUESTS
from engine.calibrate.simulator import OpenLoad

LONGEST_VERIFICATION = 1.5  # times the planned seconds
DRAIN_REQUESTS = 4  # so many times a lone request's time is waited for the last ones
UNPLANNED_SHARE = 0.5  # of saturation: the verification's rate when there is no λ_plan


def verification(run: Calibration) -> None:
    """One open-loop level at about λ_plan, and the same requests in the simulator."""
    replica, found = run.measured.replica, run.measured.max_rate
    if replica is None or found is None:
        return
    rate = found.low or UNPLANNED_SHARE * run.saturation_per_s()
    level = run.bench.run(_spec(run, rate), rate)
    run.measured.predicted = replace(level, log=replica.replay(level.spec, keep_steps=True))


def _spec(run: Calibration, rate: float) -> LevelSpec:
    seconds = run.plan.verification_within(rate, run.bench.elapsed_s, run.bench.max_s)
    wanted = max(FEWEST_REQUESTS, round(rate * seconds))
    seed = 1000 * run.ask.seed
    load = OpenLoad.draw(run.ask.workload, wanted, seed)
    in_time = sum(at / rate <= LONGEST_VERIFICATION * seconds for at in load.unit_arrivals)
    drain_s = DRAIN_REQUESTS * run.pace.request_s(run.ask.workload)
    return load.first(max(1, in_time)).level(run.bench.next_id, "verification", seed, rate, 0, drain_s)
