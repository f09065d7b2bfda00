"""The kernels between the matrix products of a layer, against the reference."""

import math

import pytest
import torch
from torch import Tensor

from kernels import mlp, norm, reference, rope

DTYPES = [torch.float32, torch.float16]
SIZE = 16


def close(got: Tensor, want: Tensor) -> None:
    tolerance = {torch.float32: 1e-5, torch.float16: 4e-3}[want.dtype]
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [1, 100, 576])
def test_rms_norm_and_residual(dtype: torch.dtype, size: int) -> None:
    x, residual, weight = (torch.randn(3, size).to(dtype) for _ in range(3))
    close(norm.rms_norm(x, weight[0], 1e-5), reference.rms_norm(x, weight[0], 1e-5))
    changed = residual.clone()
    got = norm.add_rms_norm(x, changed, weight[0], 1e-5)
    close(got, reference.add_rms_norm(x, residual, weight[0], 1e-5))
    assert torch.equal(changed, residual)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # of a far negative gate, in NumPy
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gated_activations(dtype: torch.dtype) -> None:
    packed = (4 * torch.randn(3, 2 * 1030)).to(dtype)
    close(mlp.silu_mul(packed), reference.silu_mul(packed.clone()))
    close(mlp.gelu_tanh_mul(packed), reference.gelu_tanh_mul(packed.clone()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(1, 1, 16), (9, 3, 64), (4, 2, 128), (16, 1, 256)])
def test_rope_and_kv_write(heads: int, kv_heads: int, dim: int, normed: bool, dtype: torch.dtype) -> None:
    """Neither the projection nor other slots of the cache change."""
    torch.manual_seed(dim)
    tokens = 3
    qkv = torch.randn(tokens, heads + 2 * kv_heads, dim).to(dtype)
    angles = torch.randn(tokens, 1, dim // 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    norms = (torch.randn(dim).to(dtype), torch.randn(dim).to(dtype), 1e-6) if normed else None
    slots = torch.tensor([SIZE + 3, 2 * SIZE, 3 * SIZE - 1])
    wanted_cache = torch.full((2, 4, kv_heads, SIZE, dim), math.nan).to(dtype)
    cache = wanted_cache.clone()
    before = qkv.clone()
    got = rope.rope_and_write_kv(qkv, cos, sin, cache, slots, norms)
    assert torch.equal(qkv, before)
    close(got, reference.rope_and_write_kv(qkv, cos, sin, wanted_cache, slots, norms))
    assert torch.equal(cache.isnan(), wanted_cache.isnan())
    close(cache.nan_to_num(), wanted_cache.nan_to_num())


def test_rope_of_a_part_of_each_head() -> None:
    """Rotates the first 12 of 32 numbers; the rest stays."""
    qkv = torch.randn(2, 3, 32)
    angles = torch.randn(2, 1, 6)
    cache = torch.zeros(2, 2, 1, SIZE, 32)
    got = rope.rope_and_write_kv(qkv, angles.cos(), angles.sin(), cache, torch.tensor([SIZE, SIZE + 1]))
    keys = cache[0, 1, 0, :2]
    for rotated, original in ((got[:, 0], qkv[:, 0]), (keys, qkv[:, 1])):
        turned = reference.rope(original[:, None, :12].clone(), angles.cos(), angles.sin())[:, 0]
        close(rotated, torch.cat([turned, original[:, 12:]], dim=1))


def test_kv_write_in_float8_is_scaled_and_saturates() -> None:
    """With numbers that float8 holds exactly: the interpreter rounds others wrongly where the exponent changes."""
    scales = torch.tensor([[0.5, 0.25], [2.0, 1.0]])
    wanted = torch.tensor([-3.25, 0.0, 1.0, 448.0, 0.015625])[torch.randint(5, (2, 2, 16))]
    qkv = torch.cat([torch.ones(1, 1, 16), (wanted * scales[:, :, None]).view(1, 4, 16)], dim=1)
    qkv[0, 4, 0] = 1e6
    wanted[1, 1, 0] = 448.0
    cache = torch.zeros(2, 2, 2, SIZE, 16, dtype=torch.float8_e4m3fn)
    still = torch.ones(1, 1, 8), torch.zeros(1, 1, 8)
    rope.rope_and_write_kv(qkv, *still, cache, torch.tensor([SIZE + 2]), kv_scales=scales)
    assert torch.equal(cache[:, 1, :, 2].float(), wanted)


def test_kv_write_in_float8_saturates_without_scales() -> None:
    qkv = torch.full((1, 3, 16), 1e6)
    cache = torch.zeros(2, 2, 1, SIZE, 16, dtype=torch.float8_e4m3fn)
    rope.rope_and_write_kv(qkv, torch.ones(1, 1, 8), torch.zeros(1, 1, 8), cache, torch.tensor([SIZE]))
    assert (cache[:, 1, :, 0].float() == 448).all()
