"""`python -m engine.calibrate.fleet RECORD.json …`: a week of traffic against simulated replicas.

A table on standard output, and with --out the result as JSON. Exit 0: done. 2: the question was refused, one line on
standard error says why.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import get_args

from engine.calibrate.fleet.arrivals import HourlyTraffic, Traffic, trace_traffic, weekly_rates
from engine.calibrate.fleet.ask import Autoscaling, FleetAsk, ReplicaModel, RouterName
from engine.calibrate.fleet.estimates import Slots
from engine.calibrate.fleet.run import simulate_fleet
from engine.calibrate.fleet.table import table
from engine.calibrate.fleet.timeline import HOUR_S, Timeline
from engine.calibrate.record import Record, record_read
from engine.calibrate.workload import Lengths, Workload, workload_read
from engine.errors import InputError

OK, REFUSED = 0, 2
SAMPLED_MINUTES = 3.0
WARM_IN_S = 60.0  # at least, and three times as long as a request takes in a full batch


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED


def _run(args: argparse.Namespace) -> int:
    if args.out is not None and not args.out.parent.is_dir():
        raise InputError(f"--out: folder {args.out.parent} does not exist; make it, or write {args.out.name} elsewhere")
    record = record_read(args.record)
    model, ask = ReplicaModel.from_record(record), _ask(args, record)
    traffic, mean_lengths = _traffic(args, record, model, ask)
    result = simulate_fleet(model, ask, traffic, mean_lengths, record.sha256, _progress)
    if args.out is not None:
        partial = args.out.with_name(args.out.name + ".partial")
        partial.write_text(result.to_json() + "\n")
        partial.replace(args.out)
    print(table(result, of_week=args.trace is None))
    return OK


def _progress(share: float) -> None:
    """A week of many replicas takes minutes."""
    if sys.stderr.isatty():
        print(f"\r{share:4.0%} simulated\r", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.fleet",
        description="Simulate a week of traffic against a fleet of replicas of a calibration record.",
        allow_abbrev=False,
    )
    parser.add_argument("record", type=Path, metavar="RECORD.json", help="a calibration record")
    parser.add_argument("--requests-per-second", type=float, help="mean rate of the week; flat without --hourly-shape")
    parser.add_argument("--hourly-shape", type=Path, help="JSON list of 168 rates from Monday 00:00 UTC, or weights")
    parser.add_argument("--trace", type=Path, help="Azure .csv or Mooncake .jsonl, at its own times and lengths")
    parser.add_argument("--workload", type=Path, help="lengths and burstiness, instead of the record's")
    parser.add_argument("--replicas", type=int, required=True, help="at the start; all the time unless scaled")
    parser.add_argument("--router", choices=get_args(RouterName), default="least_outstanding")
    parser.add_argument("--min-replicas", type=int, help="scale between these two, by the last minute's rate")
    parser.add_argument("--max-replicas", type=int)
    parser.add_argument("--scale-up-delay-s", type=float, help="until a new replica serves; default: the record's")
    parser.add_argument("--scale-down-hold-s", type=float, default=300.0, help="fewer must be enough for so long")
    parser.add_argument("--min-billing-s", type=float, default=0.0, help="a replica is billed for at least")
    parser.add_argument("--overflow-queue", type=int, help="arrivals that find so many waiting go to an API")
    parser.add_argument("--spot-losses-per-hour", type=float, default=0.0, help="of each replica")
    parser.add_argument("--headroom", type=float, default=0.15, help="of the fluid estimate and of scaling")
    parser.add_argument("--minutes-per-hour", type=float, help="counted of each hour; default 3, or 60 if needed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the result as JSON")
    return parser


def _ask(args: argparse.Namespace, record: Record) -> FleetAsk:
    scaled = [args.min_replicas is not None, args.max_replicas is not None]
    if any(scaled) and not all(scaled):
        raise InputError("give both --min-replicas and --max-replicas, or neither")
    started = any(scaled) or args.spot_losses_per_hour > 0
    return FleetAsk(
        replicas=args.replicas,
        router=args.router,
        autoscaling=(
            Autoscaling(args.min_replicas, args.max_replicas, args.scale_down_hold_s) if all(scaled) else None
        ),
        scale_up_delay_s=_delay(args, record) if started else 0.0,
        min_billing_s=args.min_billing_s,
        overflow_queue=args.overflow_queue,
        spot_losses_per_hour=args.spot_losses_per_hour,
        headroom=args.headroom,
        seed=args.seed,
    )


def _delay(args: argparse.Namespace, record: Record) -> float:
    if args.scale_up_delay_s is not None:
        return float(args.scale_up_delay_s)
    if record.cold_start is None:
        raise InputError("cold_start of the record is null; give --scale-up-delay-s")
    return record.cold_start.seconds


def _traffic(
    args: argparse.Namespace, record: Record, model: ReplicaModel, ask: FleetAsk
) -> tuple[Traffic, tuple[float, float]]:
    """What arrives, and the mean lengths of it."""
    hourly = args.requests_per_second is not None or args.hourly_shape is not None
    if (args.trace is not None) == hourly:
        raise InputError("give either --trace FILE, or --requests-per-second R, --hourly-shape FILE or both of them")
    if args.trace is not None:
        if args.workload is not None or args.minutes_per_hour is not None:
            raise InputError("--workload and --minutes-per-hour don't go with --trace, which has its lengths and times")
        trace = trace_traffic(args.trace)
        count = len(trace.lengths)
        return trace, (sum(p.input for p in trace.lengths) / count, sum(p.output for p in trace.lengths) / count)
    rates = weekly_rates(args.requests_per_second, args.hourly_shape)
    workload = workload_read(args.workload) if args.workload is not None else _workload(record)
    if workload.prefix_hit_share:
        raise InputError("--workload: prefix_hit_share must be 0; a fleet's replicas share no prefixes yet")
    timeline = _timeline(args.minutes_per_hour, len(rates), ask, Slots.of(model, workload.mean))
    return HourlyTraffic(timeline, rates, workload, ask.seed), workload.mean


def _workload(record: Record) -> Workload:
    """The one that was measured."""
    asked = record.workload
    if asked.mix is None:
        source = f"the trace {asked.trace}" if asked.kind == "trace" else "distributions"
        raise InputError(f"the record's lengths came from {source}; give them again with --workload FILE")
    pairs = tuple(Lengths(pair.input, pair.output) for pair in asked.mix)
    return Workload(asked.kind, pairs, tuple(pair.weight for pair in asked.mix), asked.burstiness)


def _timeline(minutes: float | None, hours: int, ask: FleetAsk, slots: Slots) -> Timeline:
    """A sample of each hour where nothing changes within it; all of it where replicas come and go."""
    changing = ask.autoscaling is not None or ask.spot_losses_per_hour > 0
    if minutes is not None and not 0 < minutes <= HOUR_S / 60:
        raise InputError(f"--minutes-per-hour is {minutes:g}; it must be above 0 and at most 60")
    if changing and minutes is not None and minutes < HOUR_S / 60:
        raise InputError(f"--minutes-per-hour is {minutes:g}; with scaling or spot losses it must be 60")
    counted_s = HOUR_S if changing else (minutes or SAMPLED_MINUTES) * 60
    warm_in_s = max(WARM_IN_S, math.ceil(3 * slots.service_s))
    if counted_s + warm_in_s >= HOUR_S:
        return Timeline(hours)
    return Timeline(hours, counted_s + warm_in_s, warm_in_s)


if __name__ == "__main__":
    sys.exit(main())
