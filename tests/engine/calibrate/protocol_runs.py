"""Whole calibrations of simulated servers, as several tests run them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.measured import Measured
from engine.calibrate.protocol import Ask, calibrate
from engine.calibrate.record import Record
from engine.calibrate.simulator import StepTime
from engine.calibrate.slo import Slo
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.truth import SHAPE
from engine.calibrate.workload import Workload, workload_fixed

SERVED = workload_fixed(200, 10)
LOOSE = Slo(400, 45)

Lines = list[tuple[str, float, str, dict[str, Any]]]


def noisy(step_ms: StepTime, share: float) -> StepTime:
    rng = np.random.default_rng(7)
    return lambda *work: step_ms(*work) * (1 + share * rng.standard_normal())


def ask(slo: Slo = LOOSE, workload: Workload = SERVED, max_minutes: float = 2.0) -> Ask:
    return Ask(SHAPE, workload, slo, seed=3, max_minutes=max_minutes)


def run(
    target: SimulatedTarget, asked: Ask, told_to_stop: Callable[[Lines], bool] = lambda lines: False
) -> tuple[Measured, Record, Lines]:
    lines: Lines = []
    measured = calibrate(asked, target, lambda: told_to_stop(lines), lambda *line: lines.append(line))
    _, raw = raw_rows(measured, "record.raw.jsonl.gz")
    return measured, record_of(asked, measured, Path("m"), dummy_weights=True, raw=raw), lines


def codes(record: Record) -> set[str]:
    return {flag.code for flag in record.flags}
