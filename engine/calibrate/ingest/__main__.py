"""`python -m engine.calibrate.ingest FILE…`: make a calibration record of another tool's result files.

Exit 0: the record is written, and standard output says in one line what it states. 2: refused; one line on standard
error says why and what to do. Nothing is asked: what the file lacks is given by a flag, or stays unknown.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from engine.calibrate.ingest import Facts, Given, ingest_files
from engine.calibrate.record import Record
from engine.calibrate.slo import DEFAULT, PRESETS, slo_parse
from engine.errors import InputError

OK, REFUSED = 0, 2
SWITCH = {"on": True, "off": False}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(arguments)
    try:
        record = ingest_files([(file.name, _read(file)) for file in args.files], _given(args))
        _write(args.out, record)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    print(_summary(record))
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.ingest",
        description="Make a calibration record of another tool's result files.",
        epilog="Flags add what the files lack; a flag that contradicts a file is refused.",
        allow_abbrev=False,
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="results of one replica and one workload")
    parser.add_argument("--out", type=Path, required=True, help="the record")
    parser.add_argument("--slo", help=f"ttft_p95_ms=1000,tpot_p95_ms=50 (the default), or {', '.join(PRESETS)}")
    parser.add_argument("--model", help="the model that was served")
    parser.add_argument("--gpu", help="its name, as H100 SXM; CPU for a machine without one")
    parser.add_argument("--gpus", type=int, help="how many serve one replica")
    parser.add_argument("--engine", help="what served it, as vLLM")
    parser.add_argument("--engine-version")
    parser.add_argument("--dtype", help="of the weights, as bfloat16 or fp8")
    parser.add_argument("--tensor-parallel", type=int)
    parser.add_argument("--prefix-cache", choices=SWITCH)
    parser.add_argument("--speculative", choices=SWITCH, help="speculative decoding")
    parser.add_argument("--request-rate", type=float, help="requests/s sent at random, for a file that has no load")
    parser.add_argument("--concurrency", type=int, help="requests kept going, for a file that has no load")
    parser.add_argument("--measured-on", help="the day, as 2026-11-30, for a file that does not say")
    return parser


def _given(args: argparse.Namespace) -> Given:
    return Given(
        facts=Facts(
            model=args.model,
            gpu="CPU" if args.gpu and args.gpu.upper() == "CPU" else args.gpu,
            gpus=args.gpus,
            engine=args.engine,
            engine_version=args.engine_version,
            dtype=args.dtype,
            tensor_parallel=args.tensor_parallel,
            prefix_cache=SWITCH.get(args.prefix_cache),
            speculative=SWITCH.get(args.speculative),
        ),
        slo=DEFAULT if args.slo is None else slo_parse(args.slo),
        requests_per_s=args.request_rate,
        concurrency=args.concurrency,
        measured_on=args.measured_on,
        today=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} can't be read ({error.strerror}); give a benchmark's result file") from None


def _write(path: Path, record: Record) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(record.to_json() + "\n")
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"--out {path} can't be written ({error.strerror}); give a file in a folder that is there"
        ) from None


def _summary(record: Record) -> str:
    rate, slo = record.derived.max_rate, record.slo
    limits = f"p95 TTFT {slo.ttft_p95_ms:g} ms and p95 TPOT {slo.tpot_p95_ms:g} ms"
    levels = f"{len(record.levels)} levels of {record.source.tool}"
    if rate is None:
        return f"{levels}: no rate inside {limits}; {record.grade.basis}"
    interval = f"{rate.requests_per_s:.3g} requests/s ({rate.low:.3g} to {rate.high:.3g}) inside {limits}"
    return f"{levels}: {interval}; grade {record.grade.letter}: {record.grade.basis}"


if __name__ == "__main__":
    sys.exit(main())
