"""Every kernel against the reference or a definition in float64, on a GPU or, with Triton's interpreter, on a CPU.

    python -m benchmarks.scoreboard.kernel_checks --device cuda [--quick]

prints a JSON line a check: its largest relative error over rows, and what it may be.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.scoreboard.paged import Paged, attention, paged
from kernels import decode, inputs, matmul, mlp, moe, norm, prefill, reference, rope, sample
from kernels.inputs import RequestRows, StepInputs
from kernels.reference import SamplingRows

TOLERANCES = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
FLOAT8 = torch.float8_e4m3fn
VOCABULARY = 1100  # a tile and a bit


class Check(NamedTuple):
    name: str
    tolerance: float
    error: Callable[[], float]


class Setting(NamedTuple):
    device: str
    dtype: torch.dtype
    lengths: Sequence[int]  # of contexts, around the edges of blocks
    shapes: Sequence[tuple[int, int]]  # head_dim and group of attention

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=self.dtype, device=self.device)


EVERY_SHAPE = tuple(itertools.product((64, 128, 256), (1, 2, 3, 4, 5, 6, 7, 8, 16)))
QUICK_SHAPES = ((64, 1), (128, 2), (128, 4), (128, 5), (256, 16))
EDGES = (1, 63, 64, 65, 0, 129, 1000, 4097)


def settings(device: str, quick: bool) -> list[Setting]:
    """What is checked: on a GPU in bfloat16, and in full in float16 too; the interpreter has no bfloat16."""
    if device == "cpu":
        return [Setting(device, torch.float16, (1, 64, 0, 130), QUICK_SHAPES[:1] + QUICK_SHAPES[-1:])]
    if quick:
        return [Setting(device, torch.bfloat16, EDGES, QUICK_SHAPES)]
    return [Setting(device, dtype, EDGES, EVERY_SHAPE) for dtype in (torch.bfloat16, torch.float16)]


def worst(got: Tensor, want: Tensor) -> float:
    """The largest error of a row relative to the row's size; infinite where anything is not a number."""
    got, want = (x.detach().double().cpu().flatten(0, -2) for x in (got, want))
    if not got.isfinite().all():
        return float("inf")
    return float(((got - want).norm(dim=-1) / want.norm(dim=-1).clamp_min(1e-6)).max()) if len(got) else 0.0


def checks(setting: Setting) -> Iterator[Check]:
    for head_dim, group in setting.shapes:
        yield from _attention_checks(setting, head_dim, group)
    if setting.device == "cpu" or torch.cuda.get_device_capability() >= (8, 9):
        yield Check("decode D128 group 4 float8", 6e-2, partial(_decode, setting, 128, 4, None, FLOAT8))
        yield Check("prefill D128 group 4 float8", 6e-2, partial(_prefill, setting, 128, 4, None, FLOAT8))
        yield Check("float8 weights", TOLERANCES[setting.dtype], partial(_eight_bits, setting, FLOAT8))
    if setting.device == "cuda" and torch.cuda.get_device_capability() >= (8, 9):
        yield Check("rope float8", 6e-2, partial(_rope, setting, FLOAT8))  # which the interpreter rounds wrongly
    for check in (_norm, _activations, _rope, _draws, _scores, _inputs, _experts, _eight_bits, _eight_bit_experts):
        yield Check(check.__name__.strip("_"), TOLERANCES[setting.dtype], partial(check, setting))


def _attention_checks(setting: Setting, head_dim: int, group: int) -> Iterator[Check]:
    tolerance = TOLERANCES[setting.dtype]
    name = f"D{head_dim} group {group}"
    yield Check(f"decode {name}", tolerance, partial(_decode, setting, head_dim, group, None))
    yield Check(f"prefill {name}", tolerance, partial(_prefill, setting, head_dim, group, None))
    if group == setting.shapes[-1][1] or group == 4:
        yield Check(f"decode {name} window", tolerance, partial(_decode, setting, head_dim, group, 70))
        yield Check(f"prefill {name} window", tolerance, partial(_prefill, setting, head_dim, group, 70))


def _decode(
    setting: Setting, head_dim: int, group: int, window: int | None, kv_dtype: torch.dtype | None = None
) -> float:
    fresh = [1] * len(setting.lengths)
    case = _case(setting, fresh, head_dim, group, kv_dtype)
    decode.decode_attention(case.queries, case.cache, case.batch, case.scale, case.out, window=window)
    empty = [n for n, length in enumerate(setting.lengths) if length == 0]
    if case.out[empty].any():
        return float("inf")
    return max(
        worst(case.out[n : n + 1], attention(case, n, window)) for n, length in enumerate(setting.lengths) if length
    )


def _prefill(
    setting: Setting, head_dim: int, group: int, window: int | None, kv_dtype: torch.dtype | None = None
) -> float:
    """Whole prompts and the ends of others, in turn."""
    fresh = [min(length, 37) if n % 2 else length for n, length in enumerate(setting.lengths)]
    case = _case(setting, fresh, head_dim, group, kv_dtype)
    prefill.prefill_attention(case.queries, case.cache, case.batch, case.scale, case.out, window=window)
    first = case.batch.first.tolist()
    return max(
        worst(case.out[first[n] : first[n + 1]], attention(case, n, window)) for n in range(len(fresh)) if fresh[n]
    )


def _case(setting: Setting, fresh: list[int], head_dim: int, group: int, kv_dtype: torch.dtype | None) -> Paged:
    place: dict[str, Any] = {"dtype": setting.dtype, "device": setting.device, "kv_dtype": kv_dtype}
    return paged(setting.lengths, fresh, kv_heads=2, group=group, head_dim=head_dim, **place)


def _norm(setting: Setting) -> float:
    x, residual = setting.random(7, 1536), setting.random(7, 1536)
    weight = setting.random(1536)
    wanted_residual = residual.cpu().clone()
    wanted = reference.add_rms_norm(x.cpu(), wanted_residual, weight.cpu(), 1e-6)
    got = norm.add_rms_norm(x, residual, weight, 1e-6)
    return max(worst(got, wanted), worst(residual, wanted_residual))


def _activations(setting: Setting) -> float:
    packed = setting.random(5, 2 * 1030)
    pairs = ((mlp.silu_mul, reference.silu_mul), (mlp.gelu_tanh_mul, reference.gelu_tanh_mul))
    return max(worst(ours(packed), plain(packed.cpu().float())) for ours, plain in pairs)


def _rope(setting: Setting, kv_dtype: torch.dtype | None = None) -> float:
    tokens, heads, kv_heads, dim = 9, 8, 2, 128
    qkv, norms = setting.random(tokens, heads + 2 * kv_heads, dim), (setting.random(dim), setting.random(dim))
    angles = torch.randn(tokens, 1, dim // 2)
    cos, sin = angles.cos().to(setting.dtype), angles.sin().to(setting.dtype)
    slots = torch.randperm(3 * 64)[:tokens] + 64
    cache = torch.zeros(2, 4, kv_heads, 64, dim, dtype=kv_dtype or setting.dtype, device=setting.device)
    wanted_cache = cache.cpu().float()
    weights = tuple(weight.cpu().float() for weight in norms)
    wanted = reference.rope_and_write_kv(
        qkv.cpu().float(), cos.float(), sin.float(), wanted_cache, slots, (weights[0], weights[1], 1e-6)
    )
    cos, sin, slots = (tensor.to(setting.device) for tensor in (cos, sin, slots))
    got = rope.rope_and_write_kv(qkv, cos, sin, cache, slots, (*norms, 1e-6))
    return max(worst(got, wanted), worst(cache.flatten(0, 3), wanted_cache.flatten(0, 3)))


def _sampling(count: int, device: str, top_k: int, top_p: float) -> SamplingRows:
    return SamplingRows(
        temperature=torch.full((count,), 0.8, device=device),
        top_k=torch.full((count,), top_k, device=device),
        top_p=torch.full((count,), top_p, device=device),
        seed=torch.arange(count, device=device) * 0x1234567 - (1 << 40),
        position=torch.arange(count, device=device) * 7919,
    )


def _draws(setting: Setting) -> float:
    """The share of rows that draw another token than the reference. Logits in sixty-fourths are exact in any dtype."""
    logits = torch.randint(-127, 128, (6, VOCABULARY)) / 64
    here = logits.to(setting.device, setting.dtype)
    wrong = []
    for top_k, top_p in ((0, 1.0), (20, 1.0), (0, 0.8), (50, 0.5)):
        ours = sample.sample(here, _sampling(6, setting.device, top_k, top_p)).cpu()
        wrong.append(ours != reference.sample(logits, _sampling(6, "cpu", top_k, top_p)))
    wrong.append(sample.sample(here, None).cpu() != logits.argmax(-1))
    return float(torch.cat(wrong).float().mean())


def _scores(setting: Setting) -> float:
    logits = torch.stack([torch.randperm(VOCABULARY) for _ in range(3)]).float() / 64
    tokens = torch.tensor([0, 17, VOCABULARY - 1])
    got = sample.logprobs(logits.to(setting.device), tokens.to(setting.device), 5)
    wanted = reference.logprobs(logits, tokens, 5)
    if not torch.equal(got[1].cpu(), wanted[1]):
        return float("inf")
    return max(worst(got[0][None], wanted[0][None]), worst(got[2], wanted[2]))


def _inputs(setting: Setting) -> float:
    """A decode, a prompt's chunk and padding; slots are worked out by hand. 0 or infinite."""

    def whole(values: Sequence[int], kind: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(values, dtype=kind, device=setting.device)

    held = _sampling(2, setting.device, 0, 1.0)
    tables = torch.arange(1, 13, dtype=torch.int32, device=setting.device).view(2, 6)
    requests = RequestRows(
        tables, whole([70, 3], torch.int32), whole([11, 12]), held.temperature, held.top_k, held.top_p, held.seed
    )
    into = StepInputs(whole([-7] * 8), whole([-7] * 8), whole([-7] * 8), whole([0] * 3, torch.int32), whole([0] * 3),
                      _sampling(3, setting.device, 0, 1.0))  # fmt: skip
    rows, first = whole([0, 1, -1], torch.int32), whole([0, 1, 6, 8], torch.int32)
    inputs.build_inputs(requests, rows, first, whole([-1, 21, 22, 23, 24, 25, 9, 9]), 64, into)
    slots = [2 * 64 + 6, *(7 * 64 + position for position in range(3, 8)), 0, 0]
    right = into.tokens.tolist()[:6] == [11, 21, 22, 23, 24, 25] and into.slots.tolist() == slots
    return 0.0 if right and into.lengths.tolist() == [71, 8, 0] else float("inf")


def _experts(setting: Setting) -> float:
    count, size, inner = 6, 64, 48
    x, gate_up, down = (
        setting.random(*shape) / 4 for shape in ((41, size), (count, 2 * inner, size), (count, size, inner))
    )
    shares, chosen = moe.route(setting.random(41, count), 2, True)
    got = moe.experts(x, shares, chosen, gate_up, down, mlp.silu_mul)
    x, shares, gate_up, down = (part.cpu().float() for part in (x, shares, gate_up, down))
    return worst(got, reference.experts(x, shares, chosen.cpu(), gate_up, down, reference.silu_mul))


def _eight_bit_experts(setting: Setting) -> float:
    count, size, inner = 6, 64, 48
    x, device = setting.random(41, size), setting.device
    weights = [
        torch.randint(-100, 100, shape, device=device).to(torch.int8)
        for shape in ((count, 2 * inner, size), (count, size, inner))
    ]
    scales = torch.rand(count, 2 * inner, device=device) / 500, torch.rand(count, size, device=device) / 500
    shares, chosen = moe.route(setting.random(41, count), 2, True)
    got = moe.experts(x, shares, chosen, weights[0], weights[1], mlp.silu_mul, scales)
    x, shares, gate_up, down, *of_both = (part.cpu() for part in (x.float(), shares, *weights, *scales))
    wanted = reference.experts(x, shares, chosen.cpu(), gate_up, down, reference.silu_mul, (of_both[0], of_both[1]))
    return worst(got, wanted)


def _eight_bits(setting: Setting, kind: torch.dtype = torch.int8) -> float:
    x, scales = setting.random(19, 200), torch.rand(72, device=setting.device) / 100
    weight = torch.randint(-100, 100, (72, 200), device=setting.device).to(kind)
    got = matmul.quantized_linear(x, weight, scales)
    return worst(got, reference.quantized_linear(x.cpu().float(), weight.cpu(), scales.cpu()))


def run(check: Check) -> dict[str, object]:
    """A check that raises has failed with its message; others go on."""
    started = time.perf_counter()
    torch.manual_seed(0)
    row: dict[str, object] = {"check": check.name, "tolerance": check.tolerance}
    try:
        error = check.error()
        row |= {"error": error if error < float("inf") else None, "ok": error <= check.tolerance}
    except Exception as failure:  # compilers and drivers raise what they like
        row |= {"error": None, "ok": False, "failed": f"{type(failure).__name__}: {failure}"[:300]}
    return row | {"s": round(time.perf_counter() - started, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    for setting in settings(args.device, args.quick):
        for check in checks(setting):
            print(json.dumps(run(check) | {"dtype": str(setting.dtype).removeprefix("torch.")}), flush=True)


if __name__ == "__main__":
    main()
