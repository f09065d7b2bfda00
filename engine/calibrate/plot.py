"""`python -m engine.calibrate.plot RECORD [--html F] [--svg F]`: a record's charts, in the terminal and as files."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from engine.calibrate.plots import terminal
from engine.calibrate.plots.chart import Chart, figure
from engine.calibrate.plots.of_record import charts
from engine.calibrate.plots.residuals import residual_chart, residuals_read
from engine.calibrate.record import Record, record_read
from engine.errors import InputError


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Exit 0: drawn and written. 2: refused, one line on standard error says why."""
    args = _parser().parse_args(arguments)
    try:
        record = record_read(args.record)
        drawn, left_out = _charts(record, args.record)
        if not drawn:
            raise InputError(f"{args.record}: there is nothing to draw: {_nothing(record)}")
        _write(args, heading(record), [*facts(record), *left_out], drawn)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    screen = console or Console(highlight=False)
    screen.print(Text(heading(record), style="bold"), *map(Text, facts(record)), "", sep="\n")
    for chart in drawn:
        screen.print(*terminal.draw(chart, screen), "", sep="\n")
    for line in left_out:
        screen.print(Text(line, style="dim"))
    return 0


def _charts(record: Record, path: Path) -> tuple[list[Chart], list[str]]:
    """All that can be drawn, and why the rest can't."""
    drawn = list(charts(record))
    if record.derived.step_model is None or record.raw is None:
        return drawn, []
    try:
        found = residuals_read(record, path)
    except InputError as error:
        return drawn, [f"Step times are not drawn: {error}."]
    return [*drawn, *([residual_chart(found)] if found else [])], []


def _nothing(record: Record) -> str:
    """Why a record has no chart, and what would give it one."""
    if not record.levels:
        return "it has no levels and no curve; give a record that has"
    if record.source.file_sha256 is None:
        return "no level of it was finished; calibrate to the end"
    return (
        "its open-loop levels have no p95 and it has no closed-loop ones; import a benchmark that keeps p95 "
        "(vllm bench serve --metric-percentiles 50,95,99), or one with a fixed concurrency as well"
    )


def _write(args: argparse.Namespace, title: str, lines: list[str], drawn: list[Chart]) -> None:
    if args.html:
        from engine.calibrate.plots.html import page

        _put(args.html, page(title, lines, drawn))
    if args.svg:
        from engine.calibrate.plots.svg import svg

        _put(args.svg, svg(title, drawn))


def _put(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror}); give another place") from None


def heading(record: Record) -> str:
    """The model and what it ran on."""
    gpus, cpu = record.hardware.gpus, record.hardware.cpu
    if gpus:
        place = gpus[0].name if len(gpus) == 1 else f"{len(gpus)} × {gpus[0].name}"
    else:
        place = f"{cpu.cores} cores of {cpu.model}" if cpu else "an unknown CPU"
    return f"{record.model.name} on {place}"


def facts(record: Record) -> list[str]:
    """The rate and how good it is; what it is for; which record this is."""
    rate, asked, slo = record.derived.max_rate, record.workload, record.slo
    found = (
        f"{figure(rate.requests_per_s)} requests/s ({figure(rate.low)} to {figure(rate.high)}), "
        f"plan with {figure(rate.low)}"
        if rate
        else "No rate is stated"
    )
    lengths = f"{figure(asked.mean_input_tokens)} tokens in and {figure(asked.mean_output_tokens)} out on average"
    return [
        f"{found}. Grade {record.grade.letter or 'none'}: {record.grade.basis}.",
        f"{lengths}; p95 TTFT within {figure(slo.ttft_p95_ms)} ms, p95 TPOT within {figure(slo.tpot_p95_ms)} ms.",
        f"Record {record.sha256}, made {record.created_at[:10]}.",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.plot",
        description="A calibration record's charts, in the terminal and as files.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "record", type=Path, help="a calibration record; its raw rows are read where they lie beside it"
    )
    parser.add_argument("--html", type=Path, help="also write them as one HTML file")
    parser.add_argument("--svg", type=Path, help="also write them as one SVG")
    return parser


if __name__ == "__main__":
    sys.exit(main())
