"""Whether a model fits on a GPU, and how many requests then run at once: `python -m engine.calibrate.memory`.

    memory of a GPU = weights + driver and libraries + largest step + graphs and gaps + KV cache

Weights and KV are arithmetic on the model's shape, the same as the engine's. What else is reserved the engine measures
on its GPU before it sizes the cache; here it is estimated, on the high side.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.calibrate.gpu_facts import GpuFacts, gpu_facts
from engine.config import QUANTIZATIONS, ModelShape
from engine.errors import InputError
from engine.footprint import copied_bytes, kv_bytes_per_token, weight_bytes
from engine.shard import check_divides

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
KV_BYTES = {**DTYPE_BYTES, "fp8": 1, "float8_e4m3fn": 1}
RUNTIME_BYTES = 600 * 2**20  # the driver's context, compiled kernels, the libraries' workspaces
STEP_HIDDEN = 6  # vectors as wide as the model that a token of a step needs at once: residual, norms, q, k, v, output
STEP_INTERMEDIATE = 3  # as wide as its MLP: gate, up, their product
STEP_LOGITS = 3  # float32 copies of a row's logits while it is drawn: raw, adjusted, sorted
KV_SHARE_OF_WHAT_IS_LEFT = 0.9  # as engine.cuda.memory; the rest is for captured graphs and the allocator's gaps
MOST_GPUS = 16  # tried when saying what would fit
CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)


@dataclass(frozen=True, slots=True)
class Serving:
    """A model and how it is served. `kv_dtype` None is the dtype. The limits are our engine's on a GPU."""

    shape: ModelShape
    dtype: str = "bfloat16"
    kv_dtype: str | None = None
    quantization: str = "none"
    gpus: int = 1
    max_batch: int = 64
    token_budget: int = 8192
    block_size: int = 64

    def __post_init__(self) -> None:
        for name, known in (("dtype", DTYPE_BYTES), ("kv_dtype", KV_BYTES), ("quantization", QUANTIZATIONS)):
            value = getattr(self, name)
            if value not in known and not (name == "kv_dtype" and value is None):
                raise InputError(f"{name} is {value!r}; it must be {', '.join(known)}")
        for name in ("gpus", "max_batch", "token_budget", "block_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        check_divides(self.shape, self.gpus)

    @property
    def value_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype]

    @property
    def weight_bytes(self) -> int:
        """On one GPU."""
        copied = copied_bytes(self.shape, self.value_bytes, self.gpus)
        return -(-(weight_bytes(self.shape, self.value_bytes, self.quantization) + copied) // self.gpus)

    @property
    def kv_bytes_per_token(self) -> int:
        """On one GPU."""
        return kv_bytes_per_token(self.shape, KV_BYTES[self.kv_dtype or self.dtype], self.gpus) // self.gpus

    @property
    def step_bytes(self) -> int:
        """On one GPU, at most: what the largest step computes before it is done."""
        shape = self.shape
        widths = STEP_HIDDEN * shape.hidden + STEP_INTERMEDIATE * _widest_mlp(shape) // self.gpus
        return self.token_budget * widths * self.value_bytes + self.max_batch * shape.vocab * 4 * STEP_LOGITS


def _widest_mlp(shape: ModelShape) -> int:
    experts = shape.experts
    return max(shape.intermediate, experts.per_token * experts.intermediate if experts else 0)


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """Bytes of one GPU. Every GPU of a tensor-parallel replica holds as much."""

    serving: Serving
    gpu: GpuFacts
    weight_bytes: int
    runtime_bytes: int
    step_bytes: int
    graph_bytes: int
    kv_bytes: int

    @property
    def kv_blocks(self) -> int:
        """Block 0 included, which is never handed out."""
        return self.kv_bytes // (self.serving.kv_bytes_per_token * self.serving.block_size)

    @property
    def kv_tokens(self) -> int:
        return (self.kv_blocks - 1) * self.serving.block_size

    def largest_batch(self, context: int) -> int:
        """Requests of `context` tokens, prompt and answer, that the KV cache holds at once; raises InputError."""
        most = self.serving.shape.max_position
        if not 1 <= context <= most:
            raise InputError(f"context is {context}; this model takes 1 to {most} tokens")
        return (self.kv_blocks - 1) // -(-context // self.serving.block_size)

    def longest_context(self, batch: int) -> int:
        """Tokens that each of `batch` requests may have at once, as far as the model takes them; raises InputError."""
        if batch < 1:
            raise InputError(f"batch is {batch}; it must be at least 1")
        fitting = (self.kv_blocks - 1) // batch * self.serving.block_size
        return min(fitting, self.serving.shape.max_position)


def memory_check(serving: Serving, gpu: GpuFacts) -> MemoryCheck:
    """Share out the memory of a GPU; raises InputError where the model does not fit, saying on how many it would."""
    found = _shared_out(serving, gpu)
    if found.kv_blocks < 2:
        needed = found.weight_bytes + found.runtime_bytes + found.step_bytes
        raise InputError(
            f"the model does not fit on {serving.gpus} × {gpu.name}: each would hold {_gib(found.weight_bytes)} of "
            f"weights, {_gib(needed)} with what a step needs, and has {_gib(gpu.memory_bytes)}; {_advice(serving, gpu)}"
        )
    return found


def _shared_out(serving: Serving, gpu: GpuFacts) -> MemoryCheck:
    left = max(0, gpu.memory_bytes - serving.weight_bytes - RUNTIME_BYTES - serving.step_bytes)
    kv_bytes = int(left * KV_SHARE_OF_WHAT_IS_LEFT)
    return MemoryCheck(serving, gpu, serving.weight_bytes, RUNTIME_BYTES, serving.step_bytes, left - kv_bytes, kv_bytes)


def _advice(serving: Serving, gpu: GpuFacts) -> str:
    for count in range(serving.gpus + 1, MOST_GPUS + 1):
        try:
            more = replace(serving, gpus=count)
        except InputError:
            continue
        if _shared_out(more, gpu).kv_blocks >= 2:
            return f"it would on {count}, or take a larger GPU or smaller weights"
    return "take a larger GPU or smaller weights"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        serving = Serving(
            shape=ModelShape.from_folder(args.model),
            dtype=args.dtype,
            kv_dtype=args.kv_dtype,
            quantization=args.quantization,
            gpus=args.gpus,
            max_batch=args.max_batch,
        )
        check = memory_check(serving, gpu_facts(args.gpu))
        lines = [*report(args.model.resolve().name, check), "", *_answers(check, args.context, args.batch)]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.memory",
        description="Whether a model fits on a GPU, and how many requests then run at once.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", type=Path, required=True, help="folder with config.json; weights are not needed")
    parser.add_argument("--gpu", required=True, help="a name of fixtures/gpus.json, as H100 SXM")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that share each layer (tensor parallel); default 1")
    parser.add_argument("--dtype", default="bfloat16", help=f"of weights: {', '.join(DTYPE_BYTES)}")
    parser.add_argument("--kv-dtype", help=f"of keys and values: {', '.join(KV_BYTES)}; default: as --dtype")
    parser.add_argument("--quantization", default="none", help=f"of weight matrices: {', '.join(QUANTIZATIONS)}")
    parser.add_argument("--max-batch", type=int, default=64, help="requests that the engine runs at once; default 64")
    parser.add_argument("--context", type=int, help="tokens of a request, prompt and answer: how many fit; or a table")
    parser.add_argument("--batch", type=int, help="requests at once: how long each may be")
    return parser


def report(model: str, check: MemoryCheck) -> Iterator[str]:
    """What a GPU's memory goes to, for a person to read."""
    serving, gpu = check.serving, check.gpu
    kv = serving.kv_dtype or serving.dtype
    quantized = "" if serving.quantization == "none" else f", weights in {serving.quantization}"
    yield f"{model}, {serving.dtype}{quantized}, KV in {kv}, on {serving.gpus} × {gpu.name}"
    yield f"memory of one GPU as its driver reports it: {_gib(gpu.memory_bytes)}"
    yield ""
    step = f"{serving.token_budget:,} tokens and {serving.max_batch} drawn rows at once, estimated"
    kib = serving.kv_bytes_per_token / 2**10
    for name, size, why in (
        ("weights", check.weight_bytes, "every weight matrix" + (", shared out" if serving.gpus > 1 else "")),
        ("driver and libraries", check.runtime_bytes, "assumed"),
        ("largest step", check.step_bytes, step),
        ("graphs and gaps", check.graph_bytes, f"{100 * (1 - KV_SHARE_OF_WHAT_IS_LEFT):.0f} % of what is left"),
        ("KV cache", check.kv_bytes, f"{check.kv_tokens:,} tokens of {kib:g} KiB"),
    ):
        yield f"  {name:<22}{size / 2**30:>8.2f} GiB   {why}"


def _answers(check: MemoryCheck, context: int | None, batch: int | None) -> Iterator[str]:
    limit = check.serving.shape.max_position
    lengths = [context] if context is not None else [*(length for length in CONTEXTS if length < limit), limit]
    yield "  tokens a request   requests at once in the KV cache"
    for tokens in lengths:
        yield f"  {tokens:>16,}   {check.largest_batch(tokens):,}"
    requests = 1 if batch is None else batch
    yield ""
    yield f"  {requests:,} at once may have {check.longest_context(requests):,} tokens each; the model takes {limit:,}"


if __name__ == "__main__":
    sys.exit(main())
