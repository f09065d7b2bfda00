"""An answer's time and memory: eight options over 36 months, the week replayed hour by hour, for more and more draws.

    python -m benchmarks.decision [--rounds 5] [--out FILE]

Two weeks: one that repeats a day, stretched to its peak, and one of 168 hours that all differ, as bills and logs have
them. `draws` is what a moved slider asks for first, the point and the draws of all options; `answer` is everything on
the page: break-evens, switching values, the worth of information. Each row is a process of its own on one core, its
rounds take turns with nothing, and what is printed is their median; the hash is of the answer's bytes.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from costadvisor.economics import evaluate, parse_case
from costadvisor.economics.evaluate import case_totals
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.sampling import draw
from costadvisor.economics.values import Sample

HOURS = 168
DRAWS = (1_000, 10_000, 100_000)
MIB = 1024  # of the kibibytes that the kernel counts in
WEEKS: dict[str, Any] = {
    "a day repeated": {"peak_to_mean": 2.2},
    "168 hours differ": [
        1 + 0.6 * math.sin(2 * math.pi * (hour % 24 - 8) / 24) + 0.2 * math.cos(2 * math.pi * hour / HOURS)
        + 0.01 * (hour * 37 % 11)
        for hour in range(HOURS)
    ],
}  # fmt: skip


def options() -> list[dict[str, Any]]:
    """Two APIs, four fleets of different policies and plans, a hybrid and a router."""
    follows = {"policy": "scheduled", "cold_start_s": 122, "headroom": 0.15}
    return [
        _api("today", "0.15", "0.60", baseline=True),
        _api("host", "0.05", "0.20", baseline=False),
        _fleet("follows", {}, follows),
        _fleet("fixed", {}, {"policy": "fixed"}),
        _fleet("reserved", {"plan": "reserved_1y"}, {}),
        _fleet("zero", {"plan": "serverless"}, {"policy": "scale_to_zero", "cold_start_s": 30}),
        {"id": "hybrid", "kind": "hybrid", "base": "fixed", "overflow": "today"},
        {"id": "router", "kind": "routed", "small": "follows", "large": "today", "small_share": 0.6},
    ]


def _api(id_: str, input_usd: str, output_usd: str, *, baseline: bool) -> dict[str, Any]:
    prices = {"input_usd_per_mtok": input_usd, "output_usd_per_mtok": output_usd}
    return {"id": id_, "kind": "api", "provider": id_, "model": "m", "baseline": baseline, "prices": prices}


def _fleet(id_: str, hardware: dict[str, Any], scaling: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": id_,
        "kind": "self_host",
        "model": "Qwen3-8B",
        "hardware": {"gpu": "H100", "usd_per_hour": "2.50"} | hardware,
        "capacity": {"requests_per_s": 4, "low": 3.6, "high": 4.4},
        "scaling": scaling,
    }


def case(week: str, draws: int) -> dict[str, Any]:
    return {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-01",
        "draws": draws,
        "horizon_months": 36,
        "workload": {
            "requests_per_month": 60_000_000,
            "input_tokens": {"mean": 1000},
            "output_tokens": {"mean": 200},
            "hourly_shape": WEEKS[week],
        },
        "options": options(),
    }


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of this process's CPU time."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def measure(week: str, draws: int, rounds: int) -> dict[str, Any]:
    parsed = parse_case(case(week, draws))
    answer = evaluate(parsed)

    def point_and_draws() -> None:
        case_totals(parsed, draw(parsed, uncertain_inputs(parsed)))
        case_totals(parsed, Sample(parsed))

    return {
        "week": week,
        "draws": draws,
        "draws_s": timed(point_and_draws, rounds),
        "answer_s": timed(lambda: evaluate(parsed), rounds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB,
        "sha256": hashlib.sha256(answer.to_json()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, nargs="+", default=DRAWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    print(f"{'week':<18} {'draws':>8} {'draws s':>8} {'answer s':>9} {'MiB':>5}  answer's sha256")
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for week in WEEKS:
            for draws in args.draws:
                row = pool.apply(measure, (week, draws, args.rounds))
                rows.append(row)
                print(
                    f"{week:<18} {draws:>8,} {row['draws_s']:>8.3f} {row['answer_s']:>9.3f} {row['peak_mib']:>5}  "
                    f"{row['sha256'][:12]}",
                    flush=True,
                )
    if args.out:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        args.out.write_text(json.dumps({"machine": machine, "rounds": args.rounds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
