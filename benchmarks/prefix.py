"""What a shared prefix saves: time to first token of requests that begin with the same 2,000 tokens.

    python -m benchmarks.prefix --model DIR

The first request computes the prefix; those after it, one at a time, find it in the cache. The same requests are then
sent to an engine without a prefix cache. What other processes took of the CPU meanwhile is printed below.
"""

import argparse
import random
import statistics
import time
from pathlib import Path

from benchmarks.contenders.turn import OtherProcesses
from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import SamplingParams

Prompts = list[list[int]]


def prompts_of(args: argparse.Namespace, vocabulary: int, seed: int) -> Prompts:
    chance = random.Random(seed)
    prefix = [chance.randrange(100, vocabulary) for _ in range(args.shared_tokens)]
    own = range(args.own_tokens)
    return [prefix + [chance.randrange(100, vocabulary) for _ in own] for _ in range(args.requests)]


def first_token_ms(engine: Engine, prompts: Prompts) -> list[float]:
    """Milliseconds from each request to its only token, one request after the other."""
    taken = []
    for prompt in prompts:
        started = time.perf_counter()
        engine.generate([prompt], SamplingParams(max_tokens=1))
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--shared-tokens", type=int, default=2000)
    parser.add_argument("--own-tokens", type=int, default=32)
    args = parser.parse_args()
    others = OtherProcesses()
    engines = {cached: Engine(args.model, EngineOptions(prefix_cache=cached)) for cached in (True, False)}
    vocabulary = engines[True].runner.shape.vocab
    prompts, warm_up = (prompts_of(args, vocabulary, seed) for seed in (0, 1))
    print(f"{args.requests} requests share {args.shared_tokens:,} tokens and have {args.own_tokens} of their own; ms")
    print(f"{'prefix cache':<14}{'first':>9}{'later, median':>15}{'slowest':>9}{'median / first':>16}")
    for cached, engine in engines.items():
        first_token_ms(engine, warm_up[:2])  # warms up
        engine.reset_prefix_cache()
        first, *later = first_token_ms(engine, prompts)
        median = statistics.median(later)
        name = "on" if cached else "off"
        print(f"{name:<14}{first:9.1f}{median:15.1f}{max(later):9.1f}{median / first:15.1%}")
    cores = others.cores()
    print("others' cores " + ("unknown" if cores is None else f"{cores:.2f}"))


if __name__ == "__main__":
    main()
