"""The careful tier's last levels: what traffic that is not like the workload's does at the rate to plan with.

bursty            arrivals that clump (gamma shape 0.5) where the workload's are steadier
prefix_sharing    half of each prompt the same in all of them, where the workload shares nothing
"""

from dataclasses import replace

from engine.calibrate.protocol.state import Calibration
from engine.calibrate.workload import Workload

BURSTY = 0.5
SHARED = 0.5
RUNS = 2


def stress(run: Calibration) -> None:
    """Two runs of each kind at λ_plan; none without a measured rate."""
    fit, sweep = run.measured.sweep, run.sweep
    if fit is None or fit.low is None or sweep.plan is None:
        return
    for purpose, workload in _kinds(run.ask.workload):
        for _ in range(RUNS):
            if run.bench.elapsed_s + sweep.plan.run_s + run.plan.reference_s < run.bench.max_s:
                spec = sweep.spec(purpose, fit.low, sweep.plan, workload)
                run.bench.run(spec, fit.low, workload.burstiness)


def _kinds(workload: Workload) -> list[tuple[str, Workload]]:
    kinds = []
    if workload.burstiness > BURSTY:
        kinds.append(("bursty", replace(workload, burstiness=BURSTY, gaps=None)))
    if workload.prefix_hit_share == 0:
        content = replace(workload.content, prefix_share=SHARED)
        kinds.append(("prefix_sharing", replace(workload, prefix_hit_share=SHARED, content=content)))
    return kinds
