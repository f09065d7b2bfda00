"""`python -m engine.calibrate.scale RECORD --to GPU --out record.json`: a record of one GPU as it may be on another."""

import argparse
import sys
from pathlib import Path

from engine.calibrate.record import Record, record_read
from engine.calibrate.scaling import scale
from engine.calibrate.share import record_write
from engine.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Exit 0: written. 2: refused, one line on standard error says why, and nothing is written."""
    args = _parser().parse_args(arguments)
    try:
        record = scale(record_read(args.record), args.to, model=args.model, workload=args.workload)
        record_write(record, args.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(record))
    print(f"{record.sha256}  {args.out}")
    return 0


def summary(record: Record) -> str:
    """One sentence, and a line for each flag."""
    rate, scaled = record.derived.max_rate, record.derived.scaled
    where = f"on {scaled.to_gpu}" if scaled else ""
    if rate is None:
        line = f"no rate {where}: {record.grade.basis}"
    else:
        stated = f"{rate.requests_per_s:.3g} requests/s ({rate.low:.3g} to {rate.high:.3g})"
        line = f"{stated} {where}, bound by {record.derived.binding}; grade {record.grade.letter}: {record.grade.basis}"
    return "\n".join([line, *(f"  {flag.code}: {flag.message}" for flag in record.flags)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.scale",
        description="Carry a record over to another GPU by datasheet: grade C, with a wide interval.",
        allow_abbrev=False,
    )
    parser.add_argument("record", type=Path, help="a calibration record of a GPU")
    parser.add_argument("--to", required=True, metavar="GPU", help="a name of fixtures/gpus.json, as L40S")
    parser.add_argument("--out", type=Path, required=True, help="the new record")
    parser.add_argument("--model", type=Path, help="folder with config.json, where the record has too few numbers")
    parser.add_argument("--workload", type=Path, help="the workload file, where the record was made with a trace")
    return parser


if __name__ == "__main__":
    sys.exit(main())
