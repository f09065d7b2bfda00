"""`python -m engine.calibrate`: measure what request rate one replica sustains inside an SLO.

Progress is JSON lines on standard output. Exit 0: the record is written. 2: the request was refused, one line on
standard error says why. 3: ended by SIGTERM, Ctrl-C or --max-minutes; what was measured is written, marked incomplete.
1: the engine broke down; nothing is written.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.measured import Measured
from engine.calibrate.protocol import Ask, calibrate
from engine.calibrate.record import Record
from engine.calibrate.slo import DEFAULT, PRESETS, slo_parse
from engine.calibrate.targets import Target, TargetError
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Workload, workload_fixed, workload_read
from engine.config import KV_DTYPES, QUANTIZATIONS, EngineOptions, ModelShape
from engine.errors import InputError

OK, FAILED, REFUSED, STOPPED = 0, 1, 2, 3


def main(arguments: list[str] | None = None, target: Target | None = None) -> int:
    """Run the command and return its exit code; `target` stands in for the embedded engine."""
    args = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stop.set())
    if args.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        return _run(args, target, stop)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except TargetError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _run(args: argparse.Namespace, target: Target | None, stop: threading.Event) -> int:
    ask = _ask(args)
    measured = calibrate(ask, target or _embedded(args), stop.is_set, announce)
    if measured.facts is None:
        announce("stopped", 0.0, "stopped before the engine was ready; nothing was measured", {})
        return STOPPED
    record = _write(ask, measured, args)
    phase, percent = ("done", 100.0) if record.complete else ("stopped", 99.0)
    announce(phase, percent, _summary(record), {"record": str(args.out), "sha256": record.sha256})
    return OK if record.complete else STOPPED


def announce(phase: str, percent: float, message: str, more: dict[str, Any]) -> None:
    """Print one line of progress."""
    line = {"phase": phase, "percent": round(percent, 1), "message": message, **more}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _end_with_stdin() -> None:
    """A supervisor that is killed can't end us, but its end of our standard input closes. Nothing is written then:
    nobody is left to read it. The engine's worker goes the same way, its input being a pipe of ours."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(STOPPED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate",
        description="Measure what request rate one replica sustains inside an SLO.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face model folder")
    parser.add_argument("--workload", type=Path, help="JSON file: lengths, a mix or a trace")
    parser.add_argument("--input-tokens", type=int, help="fixed length of every prompt")
    parser.add_argument("--output-tokens", type=int, help="fixed length of every answer")
    parser.add_argument("--slo", help=f"ttft_p95_ms=1000,tpot_p95_ms=50 (the default), or {', '.join(PRESETS)}")
    parser.add_argument("--tier", choices=["quick", "standard", "careful"], default="quick")
    parser.add_argument("--max-minutes", type=float, default=5.0, help="bound of the whole run; default 5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the record; its raw rows are written beside it")
    parser.add_argument("--endpoint", help="not built yet")
    parser.add_argument("--resume", help="not built yet")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 where the CPU has it")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="none", help="weight matrices in 8 bits")
    parser.add_argument("--kv-dtype", choices=KV_DTYPES, help="of keys and values; default: as --dtype")
    parser.add_argument("--max-batch", type=int, default=64, help="requests that run at once")
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default: all cores")
    parser.add_argument("--dummy-weights", action="store_true", help="random weights of the model's shape")
    parser.add_argument("--end-with-stdin", action="store_true", help="end at once when standard input closes")
    return parser


def _ask(args: argparse.Namespace) -> Ask:
    """Check everything that can be checked before anything starts; raises InputError."""
    if args.tier != "quick":
        raise InputError(f"--tier {args.tier} is not built yet; use --tier quick")
    for name in ("endpoint", "resume"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} is not built yet; leave it out to calibrate the embedded engine")
    if not 0 < args.max_minutes < float("inf"):
        raise InputError(f"--max-minutes is {args.max_minutes:g}; it must be above 0")
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}; it must be 0 or above")
    if args.threads is not None and not 1 <= args.threads <= (os.cpu_count() or 1):
        raise InputError(f"--threads is {args.threads}; this machine has {os.cpu_count()} cores")
    if not args.out.parent.is_dir():
        raise InputError(f"--out: folder {args.out.parent} does not exist; make it, or write {args.out.name} elsewhere")
    if args.model.suffix == ".gguf":
        raise InputError(
            f"--model {args.model} is a GGUF file; convert it once with python -m engine.gguf {args.model} --out DIR "
            "and give that folder"
        )
    return Ask(
        shape=ModelShape.from_folder(args.model),
        workload=_workload(args),
        slo=DEFAULT if args.slo is None else slo_parse(args.slo),
        seed=args.seed,
        max_minutes=args.max_minutes,
    )


def _workload(args: argparse.Namespace) -> Workload:
    fixed = (args.input_tokens, args.output_tokens)
    if args.workload is not None and fixed == (None, None):
        return workload_read(args.workload)
    if args.workload is None and None not in fixed:
        return workload_fixed(*fixed)
    raise InputError("give either --workload FILE, or both --input-tokens N and --output-tokens N")


def _embedded(args: argparse.Namespace) -> EmbeddedTarget:
    options = EngineOptions(
        dtype=args.dtype,
        device=args.device,
        max_batch=args.max_batch,
        dummy_weights=args.dummy_weights,
        quantization=args.quantization,
        kv_dtype=args.kv_dtype,
    )
    return EmbeddedTarget(args.model, options, args.threads)


def _write(ask: Ask, measured: Measured, args: argparse.Namespace) -> Record:
    """Raw rows first, so that a record never names a file that is not there; each file appears whole or not at all."""
    raw_path = args.out.with_name(f"{args.out.stem}.raw.jsonl.gz")
    data, raw = raw_rows(measured, raw_path.name)
    record = record_of(ask, measured, args.model, dummy_weights=args.dummy_weights, raw=raw)
    _replace(raw_path, data)
    _replace(args.out, record.to_json().encode() + b"\n")
    return record


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _summary(record: Record) -> str:
    rate, slo = record.derived.max_rate, record.slo
    limits = f"p95 TTFT {slo.ttft_p95_ms:g} ms and p95 TPOT {slo.tpot_p95_ms:g} ms"
    if rate is None:
        return f"no rate: {record.grade.basis} ({limits})"
    return (
        f"{rate.requests_per_s:.3g} requests/s ({rate.low:.3g} to {rate.high:.3g}) inside {limits}, "
        f"bound by {record.derived.binding}; grade {record.grade.letter}: {record.grade.basis}"
    )


if __name__ == "__main__":
    sys.exit(main())
