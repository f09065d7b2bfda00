"""Products with weights kept in 8 bits and activations kept as they are, which cuBLAS does not have."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import tuning
from kernels.tuning import LinearLaunch


def quantized_linear(x: Tensor, weight: Tensor, scales: Tensor, launch: LinearLaunch | None = None) -> Tensor:
    """`x @ (weight * scales).T` of x's dtype, `[T, out]`.

    Args:
        x: `[T, in]`, rows contiguous; float32, float16 or bfloat16.
        weight: `[out, in]` contiguous; int8 or float8_e4m3fn.
        scales: `[out]` float32, a scale an output.
        launch: for tests and tuning; None takes the table's.
    """
    tokens, size_in = x.shape
    size_out = len(weight)
    chosen = launch or tuning.linear(tuning.device_of(x.device), tokens, size_out)
    out = torch.empty((tokens, size_out), dtype=x.dtype, device=x.device)
    _quantized_linear[(triton.cdiv(size_out, chosen.columns), triton.cdiv(tokens, chosen.rows))](
        x,
        weight,
        scales,
        out,
        tokens,
        x.stride(0),
        SIZE_IN=size_in,
        SIZE_OUT=size_out,
        ROWS=chosen.rows,
        COLUMNS=chosen.columns,
        DEPTH=chosen.depth,
        num_warps=chosen.warps,
        num_stages=chosen.stages,
    )
    return out


@triton.jit(do_not_specialize=["tokens"])
def _quantized_linear(
    x,
    weight,
    scales,
    out,
    tokens,
    x_stride,
    SIZE_IN: tl.constexpr,
    SIZE_OUT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """ROWS tokens times COLUMNS outputs; the weights are widened on their way to the multiplier."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    real, asked = rows < tokens, columns < SIZE_OUT
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    from_row = x + rows.to(tl.int64)[:, None] * x_stride
    from_column = weight + columns.to(tl.int64)[None, :] * SIZE_IN
    for begin in range(0, SIZE_IN, DEPTH):
        depth = begin + tl.arange(0, DEPTH)
        inside = depth < SIZE_IN
        a = tl.load(from_row + depth[None, :], mask=real[:, None] & inside[None, :], other=0.0)
        b = tl.load(from_column + depth[:, None], mask=inside[:, None] & asked[None, :], other=0.0)
        total = tl.dot(a, b.to(a.dtype), total, input_precision="ieee")
    total *= tl.load(scales + columns, mask=asked, other=0.0)[None, :]
    to = out + rows.to(tl.int64)[:, None] * SIZE_OUT + columns[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=real[:, None] & asked[None, :])
