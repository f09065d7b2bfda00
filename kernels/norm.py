"""RMSNorm, alone and with the residual addition before it."""

import torch
import triton
import triton.language as tl
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalize each row in float32, then scale: `x [T, N]` of any float dtype, rows contiguous; `weight [N]`."""
    return _launch(x, None, weight, eps)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Add `x` into `residual` in place, then normalize the sum. All `[T, N]`, rows contiguous; returns a new tensor."""
    return _launch(x, residual, weight, eps)


def _launch(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    tile = triton.next_power_of_2(x.shape[1])
    _rms_norm[(x.shape[0],)](
        x,
        residual,
        weight,
        out,
        eps,
        x.stride(0),
        x.stride(0) if residual is None else residual.stride(0),
        out.stride(0),
        SIZE=x.shape[1],
        TILE=tile,
        num_warps=min(max(tile // 512, 1), 16),
    )
    return out


@triton.jit
def _rms_norm(
    x, residual, weight, out, eps, x_stride, residual_stride, out_stride, SIZE: tl.constexpr, TILE: tl.constexpr
):
    """One row."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, TILE)
    real = places < SIZE
    values = tl.load(x + row * x_stride + places, mask=real, other=0.0).to(tl.float32)
    if residual is not None:
        before = residual + row * residual_stride + places
        values += tl.load(before, mask=real, other=0.0).to(tl.float32)
        rounded = values.to(residual.dtype.element_ty)
        tl.store(before, rounded, mask=real)
        values = rounded.to(tl.float32)
    factor = tl.rsqrt(tl.sum(values * values, 0) / SIZE + eps)
    scaled = values * factor * tl.load(weight + places, mask=real, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + places, scaled.to(out.dtype.element_ty), mask=real)
