"""Attention of one new token a sequence over its paged context.

The query heads that share a KV head are packed into one tile, so that keys and values are read once. A long context
is cut into parts that run side by side, and a second kernel merges them; a context of one part is written directly.
The grid depends on the batch alone: lengths are read on the device.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import tuning
from kernels.attention import LOG2_E, PagedRows, attend, average, check_shapes, no_context
from kernels.tuning import DecodeLaunch

DOT_ROWS = 16  # the least that tl.dot takes


def decode_attention(
    queries: Tensor,
    cache: Tensor,
    batch: PagedRows,
    scale: float,
    out: Tensor,
    cap: float | None = None,
    *,
    window: int | None = None,
    sinks: Tensor | None = None,
    kv_scales: Tensor | None = None,
    launch: DecodeLaunch | None = None,
) -> None:
    """Write the attention of the step's first B tokens, one of each sequence of `batch`, into `out`.

    Args:
        queries: `[T, H, D]`, T >= B; float32, float16 or bfloat16; D contiguous.
        cache: `[2, blocks, G, block_size, D]` of the same dtype, or float8_e4m3fn.
        batch: B sequences; each token is the last of its context. `first` is not read.
        scale: of the scores, usually D ** -0.5.
        out: `[T, H, D]`, D contiguous. Sequences of length 0 are given zeros.
        cap: scores are soft-capped by it before they are masked.
        window: how many of the last tokens are seen, the token itself included.
        sinks: `[H]` float32, a score that takes part in each head's softmax and carries no value.
        kv_scales: `[2, G]` float32 that stored keys and values are to be multiplied with.
        launch: for tests and tuning; None takes the table's.
    """
    sequences, heads = len(batch.rows), queries.shape[1]
    kv_heads, block_size, head_dim = cache.shape[2:]
    group = heads // kv_heads
    chosen = launch or tuning.decode(tuning.device_of(queries.device), sequences, kv_heads, group, head_dim)
    check_shapes(queries, cache, chosen.tile)
    parts, sizes = _workspace(queries, sequences, chosen.splits)
    sharing = {
        "HEAD_DIM": head_dim,
        "TILE": chosen.tile,
        "WINDOW": window,
        "SPLITS": chosen.splits,
        "SPLIT_TILES": triton.cdiv(chosen.split_tokens, chosen.tile),
    }
    _decode[(sequences, kv_heads, chosen.splits)](
        queries,
        cache[0],
        cache[1],
        out,
        parts,
        sizes,
        batch.tables,
        batch.rows,
        batch.lengths,
        sinks,
        kv_scales,
        scale * LOG2_E,
        queries.stride(0),
        out.stride(0),
        batch.tables.stride(0),
        *cache.stride()[1:4],
        GROUP=group,
        ROWS=max(DOT_ROWS, triton.next_power_of_2(group)),
        BLOCK_SIZE=block_size,
        CAP=cap,
        num_warps=chosen.warps,
        num_stages=chosen.stages,
        **sharing,
    )
    if chosen.splits > 1:
        _merge[(sequences, heads)](parts, sizes, out, batch.lengths, out.stride(0), num_warps=4, **sharing)


def _workspace(queries: Tensor, sequences: int, splits: int) -> tuple[Tensor | None, Tensor | None]:
    """Each part's average `[sequences, H, splits, D]` and the log of its softmax's total `[sequences, H, splits]`."""
    if splits == 1:
        return None, None
    _, heads, head_dim = queries.shape
    parts = torch.empty((sequences, heads, splits, head_dim), dtype=torch.float32, device=queries.device)
    return parts, torch.empty(parts.shape[:3], dtype=torch.float32, device=queries.device)


@triton.jit
def _share(length, TILE: tl.constexpr, WINDOW: tl.constexpr, SPLITS: tl.constexpr, SPLIT_TILES: tl.constexpr):
    """The first token that matters, the tiles in each part of the context, and how many parts there are."""
    start = 0
    if WINDOW is not None:
        start = tl.maximum(length - WINDOW, 0) // TILE * TILE
    tiles = tl.cdiv(length - start, TILE)
    part = tl.maximum(tl.cdiv(tiles, SPLITS), SPLIT_TILES)
    return start, part, tl.maximum(tl.cdiv(tiles, part), 1)


@triton.jit
def _decode(
    queries,
    keys,
    values,
    out,
    parts,
    sizes,
    tables,
    rows,
    lengths,
    sinks,
    kv_scales,
    scale,
    query_stride,
    out_stride,
    table_stride,
    block_stride,
    head_stride,
    slot_stride,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    SPLITS: tl.constexpr,
    SPLIT_TILES: tl.constexpr,
):
    """One part of one sequence's context, for the query heads of one KV head."""
    sequence, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + sequence)
    start, part, used = _share(length, TILE, WINDOW, SPLITS, SPLIT_TILES)
    if split >= used:
        return

    packed = tl.arange(0, ROWS)
    real = packed < GROUP
    heads = kv_head * GROUP + packed
    dims = tl.arange(0, HEAD_DIM)
    offsets = heads[:, None] * HEAD_DIM + dims[None, :]
    query = tl.load(queries + sequence.to(tl.int64) * query_stride + offsets, mask=real[:, None], other=0.0)
    value_scale = 1.0
    if kv_scales is not None:
        scale *= tl.load(kv_scales + kv_head)
        value_scale = tl.load(kv_scales + tl.num_programs(1) + kv_head)

    peak, total, weighted = no_context(ROWS, HEAD_DIM)
    if sinks is not None:  # in the first part only, so that it counts once
        sink = tl.load(sinks + heads, mask=real, other=0.0) * 1.4426950408889634
        peak = tl.where(split == 0, sink, peak)
        total = tl.where(split == 0, 1.0, total)
    start += split * part * TILE
    to_head = kv_head.to(tl.int64) * head_stride
    peak, total, weighted = attend(
        (peak, total, weighted),
        query,
        tl.zeros([ROWS], tl.int32) + length - 1,
        start,
        tl.minimum(start + part * TILE, length),
        keys + to_head,
        values + to_head,
        tables + tl.load(rows + sequence).to(tl.int64) * table_stride,
        scale,
        block_stride,
        slot_stride,
        HEAD_DIM,
        BLOCK_SIZE,
        TILE,
        WINDOW,
        CAP,
        True,
    )
    result = average(total, weighted) * value_scale
    if used == 1:
        to_row = out + sequence.to(tl.int64) * out_stride
        tl.store(to_row + offsets, result.to(out.dtype.element_ty), mask=real[:, None])
    elif SPLITS > 1:
        place = (sequence * tl.num_programs(1) * GROUP + heads).to(tl.int64) * SPLITS + split
        tl.store(parts + place[:, None] * HEAD_DIM + dims[None, :], result, mask=real[:, None])
        tl.store(sizes + place, peak + tl.log2(total), mask=real)


@triton.jit
def _merge(
    parts,
    sizes,
    out,
    lengths,
    out_stride,
    HEAD_DIM: tl.constexpr,
    TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    SPLITS: tl.constexpr,
    SPLIT_TILES: tl.constexpr,
):
    """Average the parts of one sequence and query head, each by its share of the softmax's total."""
    sequence, head = tl.program_id(0), tl.program_id(1)
    _, _, used = _share(tl.load(lengths + sequence), TILE, WINDOW, SPLITS, SPLIT_TILES)
    if used == 1:
        return

    splits = tl.arange(0, SPLITS)
    dims = tl.arange(0, HEAD_DIM)
    place = (sequence * tl.num_programs(1) + head).to(tl.int64) * SPLITS + splits
    size = tl.load(sizes + place, mask=splits < used, other=float("-inf"))
    shares = tl.exp2(size - tl.max(size, 0))
    values = tl.load(parts + place[:, None] * HEAD_DIM + dims[None, :], mask=splits[:, None] < used, other=0.0)
    merged = tl.sum(values * shares[:, None], 0) / tl.sum(shares, 0)
    to_head = out + sequence.to(tl.int64) * out_stride + head * HEAD_DIM
    tl.store(to_head + dims, merged.to(out.dtype.element_ty))
