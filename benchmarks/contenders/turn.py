"""One turn of one contender, in a process of its own: load, warm up, time, print what came out as a line of JSON.

Every file beside this one is run with `-m`, by the interpreter of the environment that has its package, so this one
needs the standard library only.
"""

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

BUSY = (0, 1, 2, 5, 6, 7)  # of a line of /proc/stat: user, nice, system, irq, softirq, steal

Prompts = list[list[int]]
Generate = Callable[[Prompts, int], list[int]]
"""Prompts and how many tokens each of them shall get -> how many each got."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What to run. `variant` is one of the contender's own; `converted` keeps weights in the contender's own format."""

    model: Path
    gguf: Path | None
    converted: Path
    variant: str
    requests: int
    input_tokens: int
    output_tokens: int
    threads: int
    seed: int

    @property
    def prompts(self) -> Prompts:
        """Random ids, the same for all contenders; the first hundred of a vocabulary are often special tokens."""
        vocabulary = json.loads((self.model / "config.json").read_text())["vocab_size"]
        chance = random.Random(self.seed)
        return [[chance.randrange(100, vocabulary) for _ in range(self.input_tokens)] for _ in range(self.requests)]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds are means over `runs`. `others_cores` is None where the system does not say (/proc/stat, so Linux)."""

    seconds: float
    prefill_s: float
    runs: int
    others_cores_before: float | None
    others_cores_during: float | None


class OtherProcesses:
    """How many cores all other processes have kept busy since this was made; with what a hypervisor took away."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.machine, self.own = _machine_busy_s(), time.process_time()

    def cores(self) -> float | None:
        machine = _machine_busy_s()
        if machine is None or self.machine is None:
            return None
        others = machine - self.machine - (time.process_time() - self.own)
        return max(0.0, others) / (time.monotonic() - self.started)


def _machine_busy_s() -> float | None:
    """Seconds that all cores together were busy since the machine started."""
    try:
        line = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return None
    ticks = [int(field) for field in line.split()[1:]]
    return sum(ticks[place] for place in BUSY) / os.sysconf("SC_CLK_TCK")


def take_turn(load: Callable[[Turn], Generate], variants: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """`load` makes the contender ready; `packages` are those whose versions stand beside its row."""
    parser = argparse.ArgumentParser(description=load.__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--converted", type=Path, default=Path("var/benchmarks"))
    parser.add_argument("--variant", choices=variants, default=variants[0])
    for name, default in (("requests", 16), ("input-tokens", 128), ("output-tokens", 64), ("threads", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least-s", type=float, default=3.0, help="repeat the run until it took as long")
    args = vars(parser.parse_args())
    least_s = args.pop("least_s")
    turn = Turn(**args)
    before = OtherProcesses()
    time.sleep(1.0)
    busy_before = before.cores()
    timing = _timed(load(turn), turn, least_s, busy_before)
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    print("\n" + json.dumps({**asdict(timing), "software": versions}), flush=True)


def _timed(generate: Generate, turn: Turn, least_s: float, before: float | None) -> Timing:
    prompts = turn.prompts

    def run(output_tokens: int) -> float:
        started = time.perf_counter()
        counts = generate(prompts, output_tokens)
        elapsed = time.perf_counter() - started
        if counts != [output_tokens] * len(prompts):
            raise SystemExit(f"asked for {output_tokens} tokens for each of {len(prompts)} prompts, got {counts}")
        return elapsed

    run(turn.output_tokens)  # warms up
    others = OtherProcesses()
    taken: list[float] = []
    while not taken or sum(taken) < least_s:
        taken.append(run(turn.output_tokens))
    during = others.cores()
    prefills = [run(1) for _ in taken]
    return Timing(sum(taken) / len(taken), sum(prefills) / len(taken), len(taken), before, during)
