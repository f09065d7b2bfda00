"""Prediction beside measurement: step times are fitted on some levels of load, and foretell others.

    python -m benchmarks.prediction --model DIR [--seconds 30] [--out benchmarks/results/prediction-cpu.json]

Fitted are closed loops of 1, 2, 4, 8 and 16 requests at a time. Foretold are loads that the fit has never seen: closed
loops of 3, 6 and 12, and random arrivals at 0.4, 0.6 and 0.8 of what 16 at a time bring, each the very same requests
in the simulator as on the engine. All are run twice, in shuffled orders and with other requests, and each load's two
runs are taken together, so that a machine that is slower for a while is no error of the model. Exits 1 when p50 or p95
TPOT or the throughput of one is more than 5 % off, or p95 TTFT more than 10 %. Leave the machine to it: what other
processes took is in the table.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.calibrate.contention import CONTENDED, CpuWatch
from engine.calibrate.level import LevelSpec, StepRow
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.metrics import nearest_rank, samples_needed
from engine.calibrate.preflight import cpu_facts, model_facts, software_facts, source_facts
from engine.calibrate.protocol.mapping import steady
from engine.calibrate.simulator import OpenLoad, simulate
from engine.calibrate.step_model import Fit, fit_levels
from engine.calibrate.summary import latencies
from engine.calibrate.targets import TargetFacts
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Lengths, Workload
from engine.config import EngineOptions, ModelShape

BOUNDS = {"tpot_p50_ms": 0.05, "tpot_p95_ms": 0.05, "output_tokens_per_s": 0.05, "ttft_p95_ms": 0.10}
MIX = Workload("mix", (Lengths(128, 64), Lengths(256, 32), Lengths(64, 96)), (2.0, 1.0, 1.0))
MOST = 16
FITTED = (1, 2, 4, 8, MOST)
UNSEEN = (3, 6, 12)
UNSEEN_SHARES = (0.4, 0.6, 0.8)  # of what MOST at a time bring
WARM_S = 10.0
FITTED_SHARE = 0.5  # of the seconds of a load that is foretold
PASSES = 2
WAIT_S = 60.0
DRAWN = 2048
CONTENDED_MACHINE = 2

Values = dict[str, float | None]
Runs = dict[str, list[MeasuredLevel]]  # by the load's name


@dataclass(frozen=True, slots=True)
class Row:
    """A load that was not fitted: what was measured, what was foretold, and by which share that is off."""

    load: str
    requests: int
    other_cpu_share: float
    measured: Values
    predicted: Values
    deviation: Values

    @property
    def contended(self) -> bool:
        return self.other_cpu_share > CONTENDED

    @property
    def holds(self) -> bool:
        return all(abs(off) <= BOUNDS[name] for name, off in self.deviation.items() if off is not None)


def main() -> int:
    args = _parser().parse_args()
    target = EmbeddedTarget(args.model, EngineOptions(max_batch=MOST, dtype=args.dtype), args.threads)
    try:
        facts = target.start(lambda: False)
        fitted, unseen = _measure(target, args.seconds, args.seed)
    finally:
        target.close()
    fit = _fit(fitted)
    rows = [_row(name, runs, [_foretold(run, facts, fit) for run in runs]) for name, runs in unseen.items()]
    print("\n".join(_table(rows)))
    if args.out:
        report = _report(args, facts, fitted, fit, rows)
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if any(row.contended for row in rows):
        print("no evidence: other processes used the machine meanwhile", file=sys.stderr)
        return CONTENDED_MACHINE
    return 0 if all(row.holds for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face model folder")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="of each load that is foretold, its runs together; half in the others",
    )
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 where the CPU has it")
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default: all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the table as JSON, with machine and versions")
    return parser


def _measure(target: EmbeddedTarget, seconds: float, seed: int) -> tuple[Runs, Runs]:
    """Loads to be fitted and loads to be foretold, after one that warms up and tells how much is the most."""
    warm = _run(target, _closed("warm", MOST, WARM_S, seed))
    most = warm.output_tokens_per_s / MIX.mean[1]
    done: Runs = {}
    for number in range(PASSES):
        own = PASSES * seed + number
        specs = _fitted(seconds / PASSES, own) + _unseen(seconds / PASSES, own, most)
        for spec in random.Random(own).sample(specs, len(specs)):
            done.setdefault(spec.id, []).append(_run(target, spec))
    fitted, unseen = ([spec.id for spec in specs] for specs in (_fitted(1.0, seed), _unseen(1.0, seed, most)))
    return {name: done[name] for name in fitted}, {name: done[name] for name in unseen}


def _fitted(seconds: float, seed: int) -> list[LevelSpec]:
    return [_closed(f"{n} at a time", n, FITTED_SHARE * seconds, seed) for n in FITTED]


def _unseen(seconds: float, seed: int, most: float) -> list[LevelSpec]:
    closed = [_closed(f"{n} at a time", n, seconds, seed) for n in UNSEEN]
    return closed + [_open(share, share * most, seconds, seed) for share in UNSEEN_SHARES]


def _closed(name: str, concurrency: int, seconds: float, seed: int) -> LevelSpec:
    own = 1000 * seed + concurrency
    lengths = OpenLoad.draw(MIX, DRAWN, own).lengths
    return LevelSpec(name, "prediction", own, lengths, seconds, WAIT_S, concurrency=concurrency)


def _open(share: float, rate: float, seconds: float, seed: int) -> LevelSpec:
    own = 1000 * seed + round(1000 * share)
    requests = max(samples_needed(0.95) / PASSES, rate * seconds)
    load = OpenLoad.draw(MIX, math.ceil(requests), own)
    return load.level(f"{share:g} of the most, {rate:.2f}/s", "prediction", own, rate, 0, WAIT_S)


def _run(target: EmbeddedTarget, spec: LevelSpec) -> MeasuredLevel:
    print(f"{spec.id} …", file=sys.stderr, flush=True)
    with CpuWatch(target.pids()) as watch:
        log = target.run(spec, lambda: False, lambda seconds, tokens: None)
        return MeasuredLevel(spec, log, 0.0, watch.use())


def _fit(measured: Runs) -> Fit:
    """As a calibration fits its step map: a run that was far slower than the other at its load only counts as such."""
    kept = steady(measured)
    slow = [run for name, runs in measured.items() for run in runs if run not in kept[name]]
    return fit_levels({name: _steps(runs) for name, runs in kept.items()}, _steps(slow))


def _steps(runs: Sequence[MeasuredLevel]) -> list[StepRow]:
    return [step for run in runs for step in run.quiet_steps]


def _foretold(level: MeasuredLevel, facts: TargetFacts, fit: Fit) -> MeasuredLevel:
    """As a fleet is simulated: with the slow stretches that nothing was fitted to."""

    def step_ms(*work: int) -> float:
        return (1 + fit.unsteadiness) * fit.model.ms(*work)

    return replace(level, log=simulate(facts.limits, step_ms, level.spec, keep_steps=True))


def _row(name: str, measured: Sequence[MeasuredLevel], predicted: Sequence[MeasuredLevel]) -> Row:
    ours, theirs = _values(measured), _values(predicted)
    off = {metric: _off(value, ours[metric]) for metric, value in theirs.items()}
    requests = sum(len(latencies(run)["ttft"]) for run in measured)
    return Row(name, requests, max(run.cpu.others or 0.0 for run in measured), ours, theirs, off)


def _values(runs: Sequence[MeasuredLevel]) -> Values:
    found = [latencies(run) for run in runs]
    ttft, tpot = ([ms for one in found for ms in one[metric]] for metric in ("ttft", "tpot"))
    return {
        "tpot_p50_ms": nearest_rank(tpot, 0.50),
        "tpot_p95_ms": _p95(tpot),
        "output_tokens_per_s": sum(run.output_tokens for run in runs) / sum(run.window_s for run in runs),
        "ttft_p95_ms": _p95(ttft),
    }


def _p95(values: Sequence[float]) -> float | None:
    """None of too few values to show one."""
    return nearest_rank(values, 0.95) if len(values) >= samples_needed(0.95) else None


def _off(predicted: float | None, measured: float | None) -> float | None:
    return None if predicted is None or not measured else predicted / measured - 1


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{'not fitted':<26}{'requests':>9}{'others':>8}" + "".join(f"{name:>26}" for name in BOUNDS)
    yield f"{'':<43}" + "".join(f"{'measured':>10}{'foretold':>9}{'off':>7}" for _ in BOUNDS)
    for row in rows:
        cells = "".join(_cell(row, name) for name in BOUNDS)
        verdict = "  contended" if row.contended else "" if row.holds else "  over"
        yield f"{row.load:<26}{row.requests:>9}{100 * row.other_cpu_share:>7.1f}%{cells}{verdict}"
    for name, bound in BOUNDS.items():
        worst = max((abs(row.deviation[name] or 0.0) for row in rows), default=0.0)
        yield f"{name}: at most {100 * worst:.1f} % off; {100 * bound:.0f} % is the limit"


def _cell(row: Row, name: str) -> str:
    measured, predicted, off = row.measured[name], row.predicted[name], row.deviation[name]
    if measured is None or predicted is None or off is None:
        return f"{'too few requests':>26}"
    return f"{measured:>10.2f}{predicted:>9.2f}{100 * off:>+6.1f}%"


def _report(
    args: argparse.Namespace, facts: TargetFacts, fitted: Runs, fit: Fit, rows: Sequence[Row]
) -> dict[str, Any]:
    """With machine and versions, so that somebody else can say what it is evidence of."""
    shape = ModelShape.from_folder(args.model)
    model = model_facts(args.model, shape, facts.dtype, facts.kv_dtype, facts.quantization, dummy=False)
    return {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source": source_facts().model_dump() | {"tool": "benchmarks.prediction"},
        "cpu": cpu_facts().model_dump(),
        "software": software_facts(facts.device, facts.operations).model_dump(),
        "model": model.model_dump(),
        "threads": facts.threads,
        "scheduler": asdict(facts.limits),
        "workload": {"mix": [[*pair[:2], weight] for pair, weight in zip(MIX.lengths, MIX.weights, strict=True)]},
        "seed": args.seed,
        "seconds": args.seconds,
        "fitted": [
            {
                "load": name,
                "steps": sum(len(run.quiet_steps) for run in runs),
                "other_cpu_share": max(run.cpu.others or 0.0 for run in runs),
            }
            for name, runs in fitted.items()
        ],
        "step_model": asdict(fit.model),
        "held_out_mdape": fit.mdape,
        "unsteadiness": fit.unsteadiness,
        "bounds": BOUNDS,
        "foretold": [asdict(row) for row in rows],
        "contended": any(row.contended for row in rows),
        "holds": all(row.holds for row in rows),
    }


if __name__ == "__main__":
    sys.exit(main())
