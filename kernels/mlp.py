"""Gated activations of a packed gate-up projection."""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1024


def silu_mul(gate_up: Tensor) -> Tensor:
    """`silu(gate) * up` of a packed `[T, 2N]` of any float dtype, rows contiguous; returns `[T, N]`."""
    return _launch(gate_up, gelu=False)


def gelu_tanh_mul(gate_up: Tensor) -> Tensor:
    """`gelu(gate) * up`, with GELU's tanh approximation, of a packed `[T, 2N]`; returns `[T, N]`."""
    return _launch(gate_up, gelu=True)


def _launch(gate_up: Tensor, gelu: bool) -> Tensor:
    tokens, size = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((tokens, size), dtype=gate_up.dtype, device=gate_up.device)
    grid = (tokens, triton.cdiv(size, TILE))
    _activate_mul[grid](gate_up, out, gate_up.stride(0), SIZE=size, GELU=gelu, TILE=TILE, num_warps=4)
    return out


@triton.jit
def _activate_mul(gate_up, out, stride, SIZE: tl.constexpr, GELU: tl.constexpr, TILE: tl.constexpr):
    """TILE numbers of one row."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * TILE + tl.arange(0, TILE)
    real = places < SIZE
    gate = tl.load(gate_up + row * stride + places, mask=real, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * stride + SIZE + places, mask=real, other=0.0).to(tl.float32)
    if GELU:
        # (1 + tanh(z)) / 2 is sigmoid(2 z); 1.5957... is 2 * sqrt(2 / pi).
        activated = gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))
    else:
        activated = gate * tl.sigmoid(gate)
    tl.store(out + row * SIZE + places, (activated * up).to(out.dtype.element_ty), mask=real)
