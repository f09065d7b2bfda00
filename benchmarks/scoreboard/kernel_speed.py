"""Bandwidth and arithmetic of every kernel at the scoreboard's shapes, against what this GPU does in the same run.

    python -m benchmarks.scoreboard.kernel_speed --device cuda

prints a JSON line of the two ceilings, then one a kernel: bytes that it must move, operations that it must do, seconds.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.scoreboard.paged import paged
from benchmarks.scoreboard.timing import seconds
from kernels import decode, matmul, mlp, moe, norm, prefill, rope, sample
from kernels.reference import SamplingRows

# Qwen3-8B: query heads, KV heads, head_dim, hidden, intermediate, vocabulary.
HEADS, KV_HEADS, HEAD_DIM, HIDDEN, INNER, VOCABULARY = 32, 8, 128, 4096, 12_288, 151_936

DECODES = ((64, 4096), (256, 1536), (8, 20_480), (1, 32_768))  # sequences, tokens of context
PREFILLS = ((16, 1024, 1024), (1, 16_384, 16_384), (1, 20_480, 2048))  # and how many of them are new


class Work(NamedTuple):
    """`moved` bytes are each input read and each output written once; `operations` count a multiply-add as two."""

    name: str
    moved: float
    operations: float
    run: Callable[[], object]


class Place(NamedTuple):
    """Where, in what dtype, and by how much sizes are divided, which is 1 but for a dry run."""

    device: str
    dtype: torch.dtype
    divisor: int

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=self.dtype, device=self.device)

    def least(self, size: int) -> int:
        return max(1, size // self.divisor)


def ceilings(place: Place) -> dict[str, float]:
    """A copy of 4 GiB, bytes read and written; a product of two random matrices of 8192 x 8192, in bfloat16."""
    source = torch.randn(place.least(1 << 30), device=place.device)
    target = torch.empty_like(source)
    copy_s = seconds(lambda: target.copy_(source), place.device)
    size = place.least(8192)
    a, b = (torch.randn(size, size, device=place.device).to(torch.bfloat16) for _ in range(2))
    matmul_s = seconds(lambda: a @ b, place.device)
    return {"bytes_per_s": 2 * source.nbytes / copy_s, "flops_per_s": 2 * size**3 / matmul_s}


def work(place: Place) -> Iterator[Work]:
    """One at a time, so that the memory of one is free for the next."""
    few = len(DECODES) if place.device == "cuda" else 1  # the interpreter takes seconds for each
    for sequences, length in DECODES[:few]:
        yield _decode(place, sequences, length, None)
    if place.device == "cpu" or torch.cuda.get_device_capability() >= (8, 9):
        yield _decode(place, 64, 4096, torch.float8_e4m3fn)
    for sequences, length, fresh in PREFILLS[:few]:
        yield _prefill(place, sequences, length, fresh)
    yield from _rows(place, place.least(16_384 if place.device == "cuda" else 1024))
    yield from _sampling(place, place.least(256))
    for tokens in (16, 4096):
        yield _eight_bits(place, place.least(tokens))
    yield _experts(place, place.least(4096))


def _decode(place: Place, sequences: int, length: int, kv_dtype: torch.dtype | None) -> Work:
    count, tokens = place.least(sequences), place.least(length)
    case = paged(
        [tokens] * count, [1] * count, kv_heads=KV_HEADS, group=HEADS // KV_HEADS, head_dim=HEAD_DIM,
        dtype=place.dtype, device=place.device, kv_dtype=kv_dtype,
    )  # fmt: skip
    run = partial(decode.decode_attention, case.queries, case.cache, case.batch, case.scale, case.out)
    kv = 2 * count * tokens * KV_HEADS * HEAD_DIM
    name = f"decode {sequences} x {length}" + (", float8" if kv_dtype else "")
    return Work(name, kv * case.cache.element_size() + 2 * case.queries.nbytes, 4 * case.queries.numel() * tokens, run)


def _prefill(place: Place, sequences: int, length: int, fresh: int) -> Work:
    count, tokens, new = place.least(sequences), place.least(length), place.least(fresh)
    case = paged(
        [tokens] * count, [new] * count, kv_heads=KV_HEADS, group=HEADS // KV_HEADS, head_dim=HEAD_DIM,
        dtype=place.dtype, device=place.device,
    )  # fmt: skip
    run = partial(prefill.prefill_attention, case.queries, case.cache, case.batch, case.scale, case.out)
    pairs = count * (new * (tokens - new) + new * (new + 1) // 2)
    kv = 2 * count * tokens * KV_HEADS * HEAD_DIM * case.cache.element_size()
    prefix = "" if fresh == length else f" of {length}"
    return Work(
        f"prefill {sequences} x {fresh}{prefix}", kv + 2 * case.queries.nbytes, 4 * HEADS * HEAD_DIM * pairs, run
    )


def _rows(place: Place, tokens: int) -> Iterator[Work]:
    """What lies between the matrix products of a layer; a batch of decodes is smaller, but would sit in the cache."""
    x, residual, weight = place.random(tokens, HIDDEN), place.random(tokens, HIDDEN), place.random(HIDDEN)
    yield Work(
        f"add + RMSNorm {tokens}", 4 * x.nbytes, 5 * x.numel(), partial(norm.add_rms_norm, x, residual, weight, 1e-6)
    )
    packed = place.random(tokens, 2 * INNER)
    yield Work(f"SiLU x up {tokens}", 1.5 * packed.nbytes, 4 * packed.numel(), partial(mlp.silu_mul, packed))
    del x, residual, packed
    qkv = place.random(tokens, HEADS + 2 * KV_HEADS, HEAD_DIM)
    cos, sin = place.random(tokens, 1, HEAD_DIM // 2), place.random(tokens, 1, HEAD_DIM // 2)
    cache = torch.empty(2, tokens // 64 + 2, KV_HEADS, 64, HEAD_DIM, dtype=place.dtype, device=place.device)
    slots = torch.randperm(tokens, device=place.device) + 64
    norms = (place.random(HEAD_DIM), place.random(HEAD_DIM), 1e-6)
    run = partial(rope.rope_and_write_kv, qkv, cos, sin, cache, slots, norms)
    yield Work(f"QK-norm + RoPE + KV {tokens}", 2 * qkv.nbytes + 2 * cos.nbytes, 8 * qkv.numel(), run)


def _sampling(place: Place, count: int) -> Iterator[Work]:
    logits = place.random(count, place.least(VOCABULARY))
    yield Work(f"greedy {count}", logits.nbytes, logits.numel(), partial(sample.sample, logits, None))
    for name, top_k, top_p in (("drawn", 0, 1.0), ("top-k, top-p", 50, 0.9)):
        rows = SamplingRows(
            temperature=torch.ones(count, device=place.device),
            top_k=torch.full((count,), top_k, device=place.device),
            top_p=torch.full((count,), top_p, device=place.device),
            seed=torch.arange(count, device=place.device),
            position=torch.arange(count, device=place.device),
        )
        yield Work(f"{name} {count}", logits.nbytes, logits.numel(), partial(sample.sample, logits, rows))


def _eight_bits(place: Place, tokens: int) -> Work:
    size_in, size_out = place.least(HIDDEN), place.least(2 * INNER)
    x, scales = place.random(tokens, size_in), torch.rand(size_out, device=place.device)
    weight = torch.randint(-127, 127, (size_out, size_in), device=place.device).to(torch.int8)
    moved = weight.nbytes + x.nbytes + tokens * size_out * x.element_size()
    run = partial(matmul.quantized_linear, x, weight, scales)
    return Work(f"int8 weights {tokens}", moved, 2 * tokens * size_in * size_out, run)


def _experts(place: Place, tokens: int) -> Work:
    """128 experts of which each token takes 8, as in Qwen3-30B-A3B."""
    count, per_token, hidden, inner = place.least(128), 8 if place.divisor == 1 else 1, place.least(2048), 768
    inner = place.least(inner)
    gate_up, down = place.random(count, 2 * inner, hidden), place.random(count, hidden, inner)
    x = place.random(tokens, hidden)
    shares, chosen = moe.route(place.random(tokens, count), per_token, True)
    moved = gate_up.nbytes + down.nbytes + 2 * x.nbytes
    run = partial(moe.experts, x, shares, chosen, gate_up, down, mlp.silu_mul)
    return Work(f"experts {tokens}", moved, 6 * tokens * per_token * hidden * inner, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    place = Place(args.device, torch.bfloat16 if on_gpu else torch.float16, 1 if on_gpu else 512)
    print(json.dumps({"ceilings": ceilings(place)}), flush=True)
    for piece in work(place):
        row: dict[str, object]
        try:
            row = {"moved_bytes": piece.moved, "operations": piece.operations, "s": seconds(piece.run, place.device)}
        except Exception as failure:  # compilers and drivers raise what they like; the others are timed all the same
            row = {"failed": f"{type(failure).__name__}: {failure}"[:300]}
        print(json.dumps({"kernel": piece.name} | row), flush=True)


if __name__ == "__main__":
    main()
