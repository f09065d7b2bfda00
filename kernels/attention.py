"""What decode and prefill attention share: the paged sequences, and the loop over their keys and values.

KV memory of one layer is `[2, blocks, G, block_size, D]`, keys then values, D contiguous; any other strides will do.
Scores are kept in powers of two: `exp2` is what the hardware has.
"""

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class PagedRows:
    """N sequences of a step, all int32 and on the device. A padding row has length 0, and any row number.

    `rows [N]` is each sequence's row in `tables [R, max_blocks]`, the block tables; `lengths [N]` counts its context,
    this step's tokens included; its tokens are `first[n] .. first[n + 1]` of the step (`first [N + 1]`).
    """

    rows: Tensor
    first: Tensor
    lengths: Tensor
    tables: Tensor


def check_shapes(queries: Tensor, cache: Tensor, tile: int) -> None:
    """Raise ValueError for what the kernels can't address."""
    heads, head_dim = queries.shape[1:]
    kv_heads, block_size = cache.shape[2:4]
    if head_dim < 16 or head_dim & (head_dim - 1) or cache.shape[4] != head_dim:
        raise ValueError(
            f"head_dim is {head_dim}, {cache.shape[4]} in the cache; it must be one power of two from 16 on"
        )
    if heads % kv_heads:
        raise ValueError(f"{heads} query heads do not divide among {kv_heads} KV heads")
    if block_size % tile:
        raise ValueError(f"block_size is {block_size}; it must be a multiple of the tile, {tile}")
    if queries.stride()[1:] != (head_dim, 1) or cache.stride(4) != 1:
        raise ValueError("the heads of queries, and the head dimension of the cache, must be contiguous")


@triton.jit
def attend(
    state,  # running (peak [ROWS], total [ROWS], weighted values [ROWS, HEAD_DIM]), float32
    query,  # [ROWS, HEAD_DIM]
    query_positions,  # [ROWS]
    start,  # first token to read, a multiple of TILE
    stop,  # the token after the last that may be read
    keys,  # pointers to this KV head's keys and values in block 0
    values,
    table,  # pointer to this sequence's block table
    scale,  # of the scores, log2(e) included
    block_stride,
    slot_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Online softmax over tokens `start .. stop`. Without MASKED the caller vouches that every row sees all of them.

    Memory that was never written may hold NaN: its scores are replaced, and its values are not loaded.
    """
    peak, total, weighted = state
    dims = tl.arange(0, HEAD_DIM)
    for tile in range(start, stop, TILE):
        block = tl.load(table + tile // BLOCK_SIZE).to(tl.int64)
        positions = tile + tl.arange(0, TILE)
        offsets = block * block_stride + (positions % BLOCK_SIZE) * slot_stride
        key = tl.load(keys + offsets[None, :] + dims[:, None])
        scores = tl.dot(query, key.to(query.dtype), input_precision="ieee") * scale
        if CAP is not None:
            # cap * tanh(score / cap), in powers of two like the scores.
            LIMIT: tl.constexpr = CAP * 1.4426950408889634
            scores = LIMIT * (2 * tl.sigmoid(2 * scores / LIMIT) - 1)
        if MASKED:
            visible = positions[None, :] <= query_positions[:, None]
            if WINDOW is not None:
                visible &= positions[None, :] > query_positions[:, None] - WINDOW
            scores = tl.where(visible, scores, float("-inf"))
            value = tl.load(values + offsets[:, None] + dims[None, :], mask=positions[:, None] < stop, other=0.0)
        else:
            value = tl.load(values + offsets[:, None] + dims[None, :])
        higher = tl.maximum(peak, tl.max(scores, 1))
        likelihoods = tl.exp2(scores - higher[:, None])
        shrink = tl.exp2(peak - higher)
        total = total * shrink + tl.sum(likelihoods, 1)
        weighted = weighted * shrink[:, None]
        weighted = tl.dot(likelihoods.to(query.dtype), value.to(query.dtype), weighted, input_precision="ieee")
        peak = higher
    return peak, total, weighted


@triton.jit
def no_context(ROWS: tl.constexpr, HEAD_DIM: tl.constexpr):
    """The state before any token. The peak is finite, so that a tile in which a row sees nothing leaves it alone."""
    peak = tl.full([ROWS], -1e30, tl.float32)
    return peak, tl.zeros([ROWS], tl.float32), tl.zeros([ROWS, HEAD_DIM], tl.float32)


@triton.jit
def average(total, weighted):
    """Weighted values over their total; 0 where nothing was seen."""
    return tl.where(total[:, None] > 0, weighted / tl.maximum(total, 1e-30)[:, None], 0.0)
