"""Our engine beside transformers on this CPU: same prompts, same threads, in turn.

    python -m benchmarks.cpu --model DIR

Every turn is a process of its own that loads the model, warms up on the same prompts, then times one run. Each turn is
preceded by a second of watching what other processes take of the CPU, which stands beside its row.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

Prompts = list[list[int]]


def engine(args: argparse.Namespace, prompts: Prompts) -> Callable[[], int]:
    from engine.config import EngineOptions
    from engine.engine import Engine
    from engine.request import SamplingParams

    options = EngineOptions(
        device="cpu", dtype=args.dtype, max_batch=args.requests, prefix_cache=False, quantization=args.quantization
    )
    ours = Engine(args.model, options)
    params = SamplingParams(max_tokens=args.output_tokens, ignore_eos=True)
    return lambda: sum(len(request.output) for request in ours.generate(prompts, params))


def transformers_static(args: argparse.Namespace, prompts: Prompts) -> Callable[[], int]:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    ids = torch.tensor(prompts)

    def run() -> int:
        wanted = {"max_new_tokens": args.output_tokens, "min_new_tokens": args.output_tokens}
        with torch.inference_mode():
            tokens = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, **wanted)
        return int(tokens.shape[0] * (tokens.shape[1] - ids.shape[1]))

    return run


def transformers_one_by_one(args: argparse.Namespace, prompts: Prompts) -> Callable[[], int]:
    runs = [transformers_static(args, [prompt]) for prompt in prompts[:1]]
    single = runs[0]
    return lambda: sum(single() for _ in prompts)


CONTENDERS = {
    "costadvisor": engine,
    "transformers static batch": transformers_static,
    "transformers one by one": transformers_one_by_one,
}


def take_turn(args: argparse.Namespace) -> None:
    """In the child: load, warm up, time one run, print a JSON line."""
    torch.set_num_threads(args.threads)
    chance = random.Random(args.seed)
    prompts = [[chance.randrange(100, 40_000) for _ in range(args.input_tokens)] for _ in range(args.requests)]
    run = CONTENDERS[args.turn](args, prompts)
    run()
    started = time.perf_counter()
    tokens = run()
    print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - started}))


def measure(args: argparse.Namespace, name: str) -> dict[str, float]:
    others = psutil.cpu_percent(interval=1.0) / 100 * (psutil.cpu_count() or 1)
    command = [sys.executable, "-m", "benchmarks.cpu", *sys.argv[1:], "--turn", name]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
    return {"output_tokens_per_s": answer["tokens"] / answer["seconds"], "others_cores": others}


def report(args: argparse.Namespace, turns: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    rows = []
    for name, results in turns.items():
        speeds = [result["output_tokens_per_s"] for result in results]
        rows.append(
            {
                "contender": name,
                "output_tokens_per_s": {
                    "median": statistics.median(speeds),
                    "min": min(speeds),
                    "max": max(speeds),
                },
                "runs": len(speeds),
                "others_cores_max": max(result["others_cores"] for result in results),
            }
        )
    return {
        "benchmark": "cpu",
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "model": args.model.name,
        "dtype": args.dtype,
        "quantization": args.quantization,
        "workload": f"{args.requests} x ({args.input_tokens} in + {args.output_tokens} out), greedy",
        "threads": args.threads,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "ram_gib": psutil.virtual_memory().total >> 30},
        "software": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "transformers")}},
        "rows": rows,
    }


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def print_table(result: dict[str, Any]) -> None:
    print(f"{result['model']}, {result['dtype']}, {result['workload']}, {result['threads']} threads")
    print(f"{result['machine']['cpu']}, {result['machine']['cores']} cores; {result['software']}\n")
    ours = result["rows"][0]["output_tokens_per_s"]["median"]
    print(f"{'':28}{'output tok/s':>14}{'min – max':>18}{'ours / theirs':>15}{'CPU others used':>17}")
    for row in result["rows"]:
        speed = row["output_tokens_per_s"]
        spread = f"{speed['min']:.0f} – {speed['max']:.0f}"
        ratio = f"{ours / speed['median']:.2f}"
        others = f"{row['others_cores_max']:.2f} cores"
        print(f"{row['contender']:28}{speed['median']:14.1f}{spread:>18}{ratio:>15}{others:>17}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--quantization", choices=["none", "int8", "fp8"], default="none", help="of our weights")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--input-tokens", type=int, default=128)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the result as JSON")
    parser.add_argument("--turn", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turn:
        take_turn(args)
        return
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(args.rounds):
        for name in turns:
            turns[name].append(measure(args, name))
    result = report(args, turns)
    print_table(result)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
