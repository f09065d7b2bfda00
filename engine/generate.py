"""Offline batch generation: `python -m engine.generate --model DIR --prompts IN.jsonl --out OUT.jsonl`.

An input line is `{"prompt": "…"}`, `{"messages": […]}` or `{"prompt_token_ids": […]}`, with sampling fields of its own
where it wants them; an output line is `{"index", "token_ids", "text", "finish_reason", "prompt_tokens",
"cached_tokens"}`, in input order.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.config import KV_DTYPES, QUANTIZATIONS, EngineOptions
from engine.engine import Engine
from engine.errors import InputError, RankFailed
from engine.request import Request, SamplingParams
from engine.stats import StepRecord
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from engine.nvml import GpuMonitor

PROMPTS = ("prompt", "messages", "prompt_token_ids")
NOT_SAMPLING = (*PROMPTS, "priority")


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        generate(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RankFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: no output was written", file=sys.stderr)
        return 130
    return 0


def generate(args: argparse.Namespace) -> None:
    """Everything is read and checked before the first token is computed, and the output is written whole or not."""
    lines = _read_lines(args.prompts)
    params = {number: _params(number, line, args) for number, line in lines.items()}  # before a model is loaded
    for path in filter(None, (args.out, args.stats)):
        if not path.parent.is_dir():
            raise InputError(f"folder {path.parent} does not exist: make it, or write {path.name} elsewhere")
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file in it")
        if path.resolve() == args.prompts.resolve():
            raise InputError(f"{path} has the prompts in it: write to another file")
    with contextlib.closing(Engine(args.model, _options(args))) as engine:
        tokenizer = engine.tokenizer  # may be refused, and so comes first
        requests = [_add(engine, number, line, params[number], args) for number, line in lines.items()]
        with _gpu_monitor(engine.config.device) as gpu:
            started = time.monotonic()
            steps = [result.record for result in engine.run()]
            seconds = time.monotonic() - started
            gpu_log = None if gpu is None else _gpu_log(gpu)
    _write(args.out, "".join(_output_line(i, r, tokenizer) for i, r in enumerate(requests)))
    if args.stats:
        _write(args.stats, json.dumps(_stats(engine, requests, steps, seconds) | {"gpu": gpu_log}, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.generate", description="Generate for a file of prompts.")
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face model folder, or a .gguf")
    parser.add_argument(
        "--prompts", type=Path, required=True, help="JSON lines with prompt, messages or prompt_token_ids"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--seed", type=int, default=0, help="line N draws with seed + N unless it names its own")
    parser.add_argument("--ignore-eos", action="store_true")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--stats", type=Path, help="write counters and the step log here, as JSON")
    add_engine_arguments(parser)
    return parser


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of EngineOptions, shared with the other command lines that start an engine."""
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], help="default: bfloat16, but not where the CPU lacks it"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--max-batch", type=int, default=64, help="requests that run at once")
    parser.add_argument("--block-size", type=int, default=64, help="tokens in a KV block")
    parser.add_argument("--num-blocks", type=int, help="KV blocks; default: from free memory")
    parser.add_argument("--token-budget", type=int, help="tokens in a step; default 512, on a GPU 8192")
    parser.add_argument("--no-prefix-cache", action="store_true")
    parser.add_argument(
        "--overlap",
        action=argparse.BooleanOptionalAction,
        help="lay a step out before the tokens of the one before are read; default: not on a CPU",
    )
    parser.add_argument(
        "--native",
        action=argparse.BooleanOptionalAction,
        help="CPU operations compiled from C++; default: where there is a compiler, else PyTorch's",
    )
    parser.add_argument("--no-graphs", action="store_true", help="launch every kernel of a GPU's steps by itself")
    parser.add_argument("--dummy-weights", action="store_true", help="random weights of the model's shape")
    parser.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        default="none",
        help="weight matrices in 8 bits, which changes tokens: int8, or fp8 for GPUs (slow on a CPU)",
    )
    parser.add_argument("--kv-dtype", choices=KV_DTYPES, help="of keys and values; default: as --dtype")
    parser.add_argument("--tensor-parallel", type=int, default=1, metavar="N", help="processes that share each layer")


def _options(args: argparse.Namespace) -> EngineOptions:
    ranks, cores = max(1, args.tensor_parallel), os.cpu_count() or 1
    if args.threads is not None:
        if not 1 <= args.threads * ranks <= cores:
            each = "" if ranks == 1 else f", and each of {ranks} processes uses so many"
            raise InputError(f"--threads is {args.threads}{each}; this machine has {cores} cores")
        torch.set_num_threads(args.threads)
    elif ranks > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    return EngineOptions(
        dtype=args.dtype,
        device=args.device,
        max_batch=args.max_batch,
        block_size=args.block_size,
        num_blocks=args.num_blocks,
        token_budget=args.token_budget,
        prefix_cache=not args.no_prefix_cache,
        dummy_weights=args.dummy_weights,
        overlap=args.overlap,
        native=args.native,
        quantization=args.quantization,
        kv_dtype=args.kv_dtype,
        graphs=not args.no_graphs,
        tensor_parallel=args.tensor_parallel,
    )


def _read_lines(path: Path) -> dict[int, dict[str, Any]]:
    """By their numbers in the file; blank lines are none, and neither is a byte order mark."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): give a file with a prompt on each line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: give a file with a prompt on each line") from None
    lines = {}
    for number, line in enumerate(text.split("\n"), start=1):  # not at U+2028, which JSON may hold
        if not line.strip():
            continue
        try:
            lines[number] = json.loads(line)
        except ValueError:
            raise InputError(f'{path} line {number} is not JSON: give one object a line, {{"prompt": "…"}}') from None
        if not isinstance(lines[number], dict) or sum(name in lines[number] for name in PROMPTS) != 1:
            raise InputError(f"{path} line {number} must be an object with exactly one of {', '.join(PROMPTS)}")
    if not lines:
        raise InputError(f'{path} has no lines: give at least one {{"prompt": "…"}}')
    return lines


def _params(number: int, line: dict[str, Any], args: argparse.Namespace) -> SamplingParams:
    """A line's own fields over the command's; raises InputError for what is wrong without knowing the model."""
    fields = {
        "max_tokens": args.max_tokens,
        "temperature": args.temperature,
        "seed": args.seed + number - 1,
        "ignore_eos": args.ignore_eos,
    } | {name: value for name, value in line.items() if name not in NOT_SAMPLING}
    try:
        if type(line.get("priority", 0)) is not int:
            raise InputError(f"priority is {line['priority']!r}; it must be a whole number")
        return SamplingParams.from_json(fields, beside=NOT_SAMPLING)
    except InputError as error:
        raise InputError(f"{args.prompts} line {number}: {error}") from None


def _add(
    engine: Engine, number: int, line: dict[str, Any], params: SamplingParams, args: argparse.Namespace
) -> Request:
    try:
        return engine.add(_prompt(engine.tokenizer, line), params, priority=line.get("priority", 0))
    except InputError as error:
        raise InputError(f"{args.prompts} line {number}: {error}") from None


def _prompt(tokenizer: Tokenizer, line: dict[str, Any]) -> list[int]:
    if "prompt" in line:
        return tokenizer.encode(line["prompt"])
    if "messages" in line:
        return tokenizer.chat(line["messages"])
    ids = line["prompt_token_ids"]
    if not isinstance(ids, list):
        raise InputError(f"prompt_token_ids is {ids!r}; it must be a list of token ids")
    return ids


def _output_line(index: int, request: Request, tokenizer: Tokenizer) -> str:
    line: dict[str, Any] = {
        "index": index,
        "token_ids": request.output,
        "text": tokenizer.text(request.output, request.params.stop, request.params.min_tokens),
        "finish_reason": request.finish_reason,
        "prompt_tokens": len(request.prompt),
        "cached_tokens": request.cached_tokens,
    }
    if request.params.logprobs is not None:
        line["logprobs"] = [entry._asdict() for entry in request.logprobs]
    if request.params.prompt_logprobs is not None:
        line["prompt_logprobs"] = [entry._asdict() for entry in request.prompt_logprobs]
    return json.dumps(line, ensure_ascii=False) + "\n"


def _gpu_monitor(device: str) -> AbstractContextManager["GpuMonitor | None"]:
    """None where there is no GPU, or no NVML to ask about it."""
    if device == "cuda" and torch.cuda.is_available():
        import pynvml

        from engine.nvml import GpuMonitor, NoGpu

        with contextlib.suppress(pynvml.NVMLError, NoGpu):
            return GpuMonitor()
    return contextlib.nullcontext()


def _gpu_log(gpu: "GpuMonitor") -> dict[str, Any]:
    return {"strangers": gpu.strangers(), "samples": [sample._asdict() for sample in gpu.samples]}


def _stats(engine: Engine, requests: list[Request], steps: list[StepRecord], seconds: float) -> dict[str, Any]:
    output_tokens = sum(len(request.output) for request in requests)
    return {
        "config": dataclasses.asdict(engine.config),
        "threads": torch.get_num_threads(),
        "requests": len(requests),
        "prompt_tokens": sum(len(request.prompt) for request in requests),
        "cached_tokens": sum(request.cached_tokens for request in requests),
        "output_tokens": output_tokens,
        "seconds": seconds,
        "output_tokens_per_s": output_tokens / seconds,
        "preemptions": engine.scheduler.preemptions,
        "steps": len(steps),
        "step_ms_median": statistics.median(step.ms for step in steps),
        "step_log": [dataclasses.asdict(step) for step in steps],
    }


def _write(path: Path, text: str) -> None:
    """Write beside the target and rename, so that a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
