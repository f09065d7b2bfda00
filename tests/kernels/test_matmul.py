"""Mixtures of experts, one token and expert at a time, and 8-bit weights."""

import pytest
import torch
import torch.nn.functional as F

from kernels import mlp, moe, reference
from kernels.matmul import quantized_linear
from kernels.tuning import LinearLaunch

SMALL = LinearLaunch(rows=16, columns=16, depth=16, warps=4, stages=2)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("experts", "per_token"), [(4, 1), (60, 4), (128, 8)])
def test_route_takes_the_likeliest(experts: int, per_token: int, normalized: bool) -> None:
    logits = torch.randn(3, experts)
    want, ids = reference.route(logits, per_token, normalized)
    shares, chosen = moe.route(logits, per_token, normalized)
    assert torch.equal(chosen, ids)
    torch.testing.assert_close(shares, want)


def test_route_takes_the_lowest_of_equals_once() -> None:
    _, chosen = moe.route(torch.zeros(1, 6), 3, True)
    assert chosen.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("tokens", [1, 41])
def test_experts_with_none_one_or_many_tokens(tokens: int, dtype: torch.dtype) -> None:
    """Expert 0 is everyone's, expert 1 the first token's, the rest but one share what is left, expert 4 gets none."""
    torch.manual_seed(tokens)
    count, size, inner = 6, 24, 20
    x, gate_up, down = (
        torch.randn(*shape).to(dtype) / 4 for shape in ((tokens, size), (count, 2 * inner, size), (count, size, inner))
    )
    chosen = torch.tensor([[0, 1], *([0, expert] for expert in [2, 3, 5] * 20)])[:tokens]
    shares = torch.rand(tokens, 2)
    got = moe.experts(x, shares, chosen, gate_up, down, mlp.silu_mul, launch=SMALL)
    want = reference.experts(x, shares, chosen, gate_up, down, reference.silu_mul)
    torch.testing.assert_close(got, want, rtol=1e-2, atol=1e-5 if dtype == torch.float32 else 5e-3)
    for token in range(tokens):
        want = torch.zeros(size)
        for share, expert in zip(shares[token], chosen[token], strict=True):
            gate, up = (gate_up[expert].float() @ x[token].float()).chunk(2)
            want += share * (down[expert].float() @ (F.silu(gate) * up))
        torch.testing.assert_close(got[token].float(), want, rtol=1e-2, atol=1e-5 if dtype == torch.float32 else 5e-3)


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_experts_in_eight_bits(dtype: torch.dtype, kind: torch.dtype) -> None:
    """Each output of each expert has a scale of its own."""
    torch.manual_seed(0)
    count, size, inner = 3, 24, 20
    x, shares = torch.randn(7, size).to(dtype), torch.rand(7, 2)
    chosen = torch.tensor([[0, 2], [2, 0]] * 3 + [[1, 2]])
    gate_up = torch.randint(-100, 100, (count, 2 * inner, size)).to(kind)
    down = torch.randint(-100, 100, (count, size, inner)).to(kind)
    scales = torch.rand(count, 2 * inner) / 500, torch.rand(count, size) / 500
    got = moe.experts(x, shares, chosen, gate_up, down, mlp.silu_mul, scales, SMALL)
    wide = gate_up.float() * scales[0][..., None], down.float() * scales[1][..., None]
    want = reference.experts(x.float(), shares, chosen, wide[0], wide[1], reference.silu_mul)
    atol = 1e-5 if dtype == torch.float32 else 5e-3
    torch.testing.assert_close(got.float(), want, rtol=1e-2, atol=atol)
    again = reference.experts(x, shares, chosen, gate_up, down, reference.silu_mul, scales)
    torch.testing.assert_close(again.float(), want, rtol=1e-2, atol=atol)


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(1, 32, 16), (19, 50, 40)])
def test_quantized_linear(shape: tuple[int, int, int], dtype: torch.dtype, kind: torch.dtype) -> None:
    tokens, size_in, size_out = shape
    x = torch.randn(tokens, size_in).to(dtype)
    weight = torch.randint(-100, 100, (size_out, size_in)).to(kind)
    scales = torch.rand(size_out) / 100
    want = reference.quantized_linear(x, weight, scales)
    torch.testing.assert_close(quantized_linear(x, weight, scales, SMALL), want, rtol=2e-3, atol=2e-3)
