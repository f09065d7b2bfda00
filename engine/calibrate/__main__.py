"""`python -m engine.calibrate`: measure what request rate one replica sustains inside an SLO.

Progress is a bar on a terminal and JSON lines otherwise. Exit 0: the record is written. 2: the request was refused,
one line on standard error says why. 3: ended by SIGTERM, Ctrl-C or --max-minutes; what was measured is written, marked
incomplete. 1: the engine broke down, or the disk is full; no record is written. What was finished lies in the run
directory beside the record until there is a complete one, and --resume goes on from there.
"""

import argparse
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.bench import Announce
from engine.calibrate.endpoint_arguments import add_endpoint_arguments, endpoint_target
from engine.calibrate.journal import Journal, StorageError, write_whole
from engine.calibrate.measured import Measured
from engine.calibrate.progress import Bar, reporter
from engine.calibrate.protocol import TIERS, Ask, calibrate
from engine.calibrate.record import Record
from engine.calibrate.slo import DEFAULT, PRESETS, slo_parse
from engine.calibrate.targets import Target, TargetError
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Workload, workload_fixed, workload_read
from engine.config import KV_DTYPES, QUANTIZATIONS, EngineOptions, ModelShape
from engine.errors import InputError

OK, FAILED, REFUSED, STOPPED = 0, 1, 2, 3
# What must be asked alike to go on with a run, besides model, workload and SLO.
RESUMED_WITH = (
    "tier", "max_minutes", "seed", "endpoint", "endpoint_model", "endpoint_api", "device",
    "dtype", "quantization", "kv_dtype", "max_batch", "threads",
    "dummy_weights",
)  # fmt: skip


def main(arguments: list[str] | None = None, target: Target | None = None) -> int:
    """Run the command and return its exit code; `target` stands in for the embedded engine."""
    args = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stop.set())
    if args.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    announce = reporter()
    try:
        return _run(args, target, stop, announce)
    except InputError as error:
        return _fail(announce, error, REFUSED)
    except (TargetError, StorageError) as error:
        return _fail(announce, error, FAILED)


def _run(args: argparse.Namespace, target: Target | None, stop: threading.Event, announce: Announce) -> int:
    ask = _ask(args)
    journal = _journal(args, ask)
    measured = calibrate(
        ask, target or endpoint_target(args) or _embedded(args, journal), stop.is_set, announce, journal
    )
    if measured.facts is None:
        announce("stopped", 0.0, "stopped before the engine was ready; nothing was measured", {})
        return STOPPED
    record = _write(ask, measured, args)
    phase, percent = ("done", 100.0) if record.complete else ("stopped", 99.0)
    announce(
        phase,
        percent,
        in_words(record, journal if stop.is_set() else None),
        {"record": str(args.out), "sha256": record.sha256, "flags": [flag.message for flag in record.flags]},
    )
    if record.complete:
        journal.remove()
    return OK if record.complete else STOPPED


def _fail(announce: Announce, error: Exception, code: int) -> int:
    if isinstance(announce, Bar):
        announce.close()
    print(f"error: {error}", file=sys.stderr)
    return code


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
    parser.add_argument("--model", type=Path, help="Hugging Face model folder; not needed with --endpoint")
    parser.add_argument("--workload", type=Path, help="JSON file: lengths, a mix or a trace")
    parser.add_argument("--input-tokens", type=int, help="fixed length of every prompt")
    parser.add_argument("--output-tokens", type=int, help="fixed length of every answer")
    parser.add_argument("--slo", help=f"ttft_p95_ms=1000,tpot_p95_ms=50 (the default), or {', '.join(PRESETS)}")
    parser.add_argument("--tier", choices=list(TIERS), default="quick")
    minutes = ", ".join(f"{tier.minutes:g} ({name})" for name, tier in TIERS.items())
    parser.add_argument("--max-minutes", type=float, help=f"bound of the whole run; default {minutes}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the record; its raw rows are written beside it")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with a run that was killed: OUT.run of it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: bfloat16 where the CPU has it")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="none", help="weight matrices in 8 bits")
    parser.add_argument("--kv-dtype", choices=KV_DTYPES, help="of keys and values; default: as --dtype")
    parser.add_argument("--max-batch", type=int, default=64, help="requests that run at once")
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default: all cores")
    parser.add_argument("--dummy-weights", action="store_true", help="random weights of the model's shape")
    add_endpoint_arguments(parser)
    parser.add_argument("--end-with-stdin", action="store_true", help="end at once when standard input closes")
    return parser


def _ask(args: argparse.Namespace) -> Ask:
    """Check everything that can be checked before anything starts; raises InputError."""
    if args.model is None and args.endpoint is None:
        raise InputError("give --model DIR to calibrate our own engine, or --endpoint URL")
    if args.max_minutes is None:
        args.max_minutes = TIERS[args.tier].minutes
    if not 0 < args.max_minutes < float("inf"):
        raise InputError(f"--max-minutes is {args.max_minutes:g}; it must be above 0")
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}; it must be 0 or above")
    if args.threads is not None and not 1 <= args.threads <= (os.cpu_count() or 1):
        raise InputError(f"--threads is {args.threads}; this machine has {os.cpu_count()} cores")
    if not args.out.parent.is_dir():
        raise InputError(f"--out: folder {args.out.parent} does not exist; make it, or write {args.out.name} elsewhere")
    if args.out.is_dir():
        raise InputError(f"--out {args.out} is a folder; name the record's file, such as {args.out / 'record.json'}")
    if args.model is not None and args.model.suffix == ".gguf":
        raise InputError(
            f"--model {args.model} is a GGUF file; convert it once with python -m engine.gguf {args.model} --out DIR "
            "and give that folder"
        )
    return Ask(
        shape=None if args.model is None else ModelShape.from_folder(args.model),
        workload=_workload(args),
        slo=DEFAULT if args.slo is None else slo_parse(args.slo),
        seed=args.seed,
        max_minutes=args.max_minutes,
        tier=args.tier,
    )


def _journal(args: argparse.Namespace, ask: Ask) -> Journal:
    """The run directory: a new one beside the record, or the one to go on with."""
    folder = args.model and args.model.resolve()
    asked = {
        "model": folder and str(folder),
        "weights": folder and sorted((path.name, path.stat().st_size) for path in folder.glob("*.safetensors")),
        "workload": asdict(ask.workload),
        "slo": asdict(ask.slo),
        **{name: getattr(args, name) for name in RESUMED_WITH},
    }
    if args.resume is not None:
        return Journal.resume(args.resume, asked)
    return Journal.begin(args.out.with_name(args.out.name + ".run"), asked)


def _workload(args: argparse.Namespace) -> Workload:
    fixed = (args.input_tokens, args.output_tokens)
    if args.workload is not None and fixed == (None, None):
        return workload_read(args.workload)
    if args.workload is None and None not in fixed:
        return workload_fixed(*fixed)
    raise InputError("give either --workload FILE, or both --input-tokens N and --output-tokens N")


def _embedded(args: argparse.Namespace, journal: Journal) -> EmbeddedTarget:
    """What is gone on with gets the KV memory that it began with, whatever is free now."""
    began = journal.opening and journal.opening.facts.scheduler
    options = EngineOptions(
        dtype=args.dtype,
        device=args.device,
        max_batch=args.max_batch,
        num_blocks=began.num_blocks if began else None,
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
    write_whole(raw_path, data)
    try:
        write_whole(args.out, record.to_json().encode() + b"\n")
    except StorageError:
        raw_path.unlink(missing_ok=True)
        raise
    return record


def in_words(record: Record, resumable: Journal | None = None) -> str:
    """What a calibration found, in a sentence."""
    derived, slo = record.derived, record.slo
    limits = f"p95 TTFT {slo.ttft_p95_ms:g} ms and p95 TPOT {slo.tpot_p95_ms:g} ms"
    if not record.complete:
        folder = resumable and resumable.folder
        kept = f"; go on with --resume {folder}" if folder and folder.is_dir() else ""
        return f"no rate: {record.grade.basis} ({limits}){kept}"
    if derived.no_rate_because == "slo_unreachable":
        return (
            f"infeasible: no rate keeps {limits}; {derived.binding} binds. One request alone takes p95 TTFT "
            f"{derived.alone_ttft_p95_ms or 0:.4g} ms and p95 TPOT {derived.alone_tpot_p95_ms or 0:.4g} ms: limits "
            "below these can't be kept at all"
        )
    if derived.max_rate is None:
        box = record.hardware.device == "unknown" and record.tier == "quick"
        why = "; nothing that was tried behaves like this server, so measure it: give --tier standard" if box else ""
        return f"no rate: {record.grade.basis}{why} ({limits})"
    rate = derived.max_rate
    least = "at least " if derived.binding == "saturation" else ""
    return (
        f"{least}{rate.requests_per_s:.3g} requests/s ({rate.low:.3g} to {rate.high:.3g}) inside {limits}, "
        f"bound by {derived.binding}; grade {record.grade.letter}: {record.grade.basis}"
    )


if __name__ == "__main__":
    sys.exit(main())
