"""One contender's turn at a job, in a process of its own, so that its memory is free for the next: load, warm up, time.

Imports nothing but the standard library: each file beside this one is run with `-m` by the interpreter that has what it
needs.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.scoreboard.jobs import Job

WARM_UP_SEED = 1_000_003
T = TypeVar("T")


class Unsupported(Exception):
    """Why this contender does not do such a job, in a sentence."""


class Ran(NamedTuple):
    """How many of a job's requests, from its first, were run to the end; and what else is worth knowing."""

    requests: int
    notes: dict[str, Any]


# Runs a job, or its first requests until a time that time.monotonic() will reach; outputs have the lengths asked for.
Run = Callable[[Job, int, float], Ran]


def take_turn(load: Callable[[Job], Run], packages: tuple[str, ...]) -> None:
    """The whole program of a contender: the command line, and a line of JSON at the end."""
    parser = argparse.ArgumentParser(description="Take one turn at a job of the scoreboard.")
    parser.add_argument("job", type=Path, help="a Job, as JSON")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="of the timed run, where one can be cut")
    args = parser.parse_args()
    job = Job.read(args.job)
    try:
        run, load_s = _timed(lambda: load(job))
    except Unsupported as reason:
        print(json.dumps({"unsupported": str(reason)}), flush=True)
        return
    _, warm_up_s = _timed(lambda: run(job.warm_up(), WARM_UP_SEED, time.monotonic() + 3600))
    ran, run_s = _timed(lambda: run(job, 0, time.monotonic() + args.limit_s))
    done = job.lengths[: ran.requests]
    told = {
        "requests": ran.requests,
        "input_tokens": sum(prompt for prompt, _ in done),
        "output_tokens": sum(output for _, output in done),
        "seconds": run_s,
        "load_s": load_s,
        "warm_up_s": warm_up_s,
        "software": {package: version(package) for package in packages},
        "notes": ran.notes,
    }
    print(json.dumps(told), flush=True)


def check_lengths(job: Job, got: list[int]) -> None:
    """Raise RuntimeError where an output is shorter or longer than was asked for."""
    wanted = [output for _, output in job.lengths[: len(got)]]
    wrong = [n for n, pair in enumerate(zip(wanted, got, strict=True)) if pair[0] != pair[1]]
    if wrong:
        n = wrong[0]
        raise RuntimeError(f"{len(wrong)} outputs have another length than asked for; of request {n} it is "
                           f"{got[n]} instead of {wanted[n]}")  # fmt: skip


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
