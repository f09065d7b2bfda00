"""Causal attention of prompt chunks over their paged context: a prefix computed before, and the chunk itself.

Chunks of any lengths lie one after another. The grid depends on the number of tokens and of chunks alone, and each
program looks up which chunk it works on; query heads that share a KV head are packed into its rows.
"""

import triton
import triton.language as tl
from torch import Tensor

from kernels import ragged, tuning
from kernels.attention import LOG2_E, PagedRows, attend, average, check_shapes, no_context
from kernels.tuning import PrefillLaunch


def prefill_attention(
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
    launch: PrefillLaunch | None = None,
) -> None:
    """Write the attention of the chunks of `batch` into the same tokens of `out`; other tokens are left alone.

    Args:
        queries: `[T, H, D]`; float32, float16 or bfloat16; heads contiguous.
        cache: `[2, blocks, G, block_size, D]` of the same dtype, or float8_e4m3fn; the chunks' own keys and values
            are in it already.
        batch: N chunks, each the end of its context. Chunks without tokens, and padding, cost next to nothing.
        scale, cap, window, sinks, kv_scales, launch: as in `decode_attention`.
        out: `[T, H, D]`, heads contiguous.
    """
    tokens, heads, head_dim = queries.shape
    kv_heads, block_size = cache.shape[2:4]
    group = heads // kv_heads
    chosen = launch or tuning.prefill(tuning.device_of(queries.device), tokens, group, head_dim)
    check_shapes(queries, cache, chosen.tile)
    tokens_per_program = chosen.rows // group
    chunks = len(batch.rows)
    _prefill[(ragged.programs_for(tokens, chunks, tokens_per_program), kv_heads)](
        queries,
        cache[0],
        cache[1],
        out,
        batch.tables,
        batch.rows,
        batch.first,
        batch.lengths,
        chunks,
        sinks,
        kv_scales,
        scale * LOG2_E,
        queries.stride(0),
        out.stride(0),
        batch.tables.stride(0),
        *cache.stride()[1:4],
        GROUP=group,
        TOKENS=tokens_per_program,
        ROWS=chosen.rows,
        HEAD_DIM=head_dim,
        BLOCK_SIZE=block_size,
        TILE=chosen.tile,
        WINDOW=window,
        CAP=cap,
        num_warps=chosen.warps,
        num_stages=chosen.stages,
    )


@triton.jit(do_not_specialize=["chunks"])
def _prefill(
    queries,
    keys,
    values,
    out,
    tables,
    rows,
    first,
    lengths,
    chunks,
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
    TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
):
    """TOKENS tokens of one chunk, for the query heads of one KV head."""
    # Later parts see more context; starting with them leaves the short ones to fill the end.
    chunk, part = ragged.find(first, chunks, tl.num_programs(0) - 1 - tl.program_id(0), TOKENS)
    kv_head = tl.program_id(1)
    begin, length = tl.load(first + chunk), tl.load(lengths + chunk)
    count = tl.load(first + chunk + 1) - begin
    if (part * TOKENS >= count) | (length == 0):
        return

    packed = tl.arange(0, ROWS)
    tokens = part * TOKENS + packed // GROUP
    real = (packed < TOKENS * GROUP) & (tokens < count)
    heads = kv_head * GROUP + packed % GROUP
    dims = tl.arange(0, HEAD_DIM)
    token_rows = (begin + tokens).to(tl.int64)
    in_token = heads[:, None] * HEAD_DIM + dims[None, :]
    query = tl.load(queries + token_rows[:, None] * query_stride + in_token, mask=real[:, None], other=0.0)
    value_scale = 1.0
    if kv_scales is not None:
        scale *= tl.load(kv_scales + kv_head)
        value_scale = tl.load(kv_scales + tl.num_programs(1) + kv_head)

    peak, total, weighted = no_context(ROWS, HEAD_DIM)
    if sinks is not None:
        peak = tl.load(sinks + heads) * 1.4426950408889634
        total += 1.0
    #  0 ... seen_from | seen in part | inner_from ... seen by every row ... inner_to | seen in part | seen_to
    earliest = length - count + part * TOKENS
    latest = tl.minimum(earliest + TOKENS, length) - 1
    positions = length - count + tokens
    seen_to = latest + 1
    inner_to = (earliest + 1) // TILE * TILE
    inner_from = 0
    to_head = kv_head.to(tl.int64) * head_stride
    keys += to_head
    values += to_head
    table = tables + tl.load(rows + chunk).to(tl.int64) * table_stride
    state = (peak, total, weighted)
    if WINDOW is not None:
        seen_from = tl.maximum(earliest - WINDOW + 1, 0) // TILE * TILE
        # From here on the window of the latest row has begun. Where windows are narrow there is no inner part.
        inner_from = tl.minimum(tl.cdiv(tl.maximum(latest - WINDOW + 1, 0), TILE) * TILE, seen_to)
        inner_from = tl.maximum(inner_from, seen_from)
        state = attend(
            state, query, positions, seen_from, inner_from, keys, values, table, scale, block_stride, slot_stride,
            HEAD_DIM, BLOCK_SIZE, TILE, WINDOW, CAP, True,
        )  # fmt: skip
    inner_to = tl.maximum(inner_to, inner_from)
    state = attend(
        state, query, positions, inner_from, inner_to, keys, values, table, scale, block_stride, slot_stride,
        HEAD_DIM, BLOCK_SIZE, TILE, WINDOW, CAP, False,
    )  # fmt: skip
    _, total, weighted = attend(
        state, query, positions, inner_to, seen_to, keys, values, table, scale, block_stride, slot_stride,
        HEAD_DIM, BLOCK_SIZE, TILE, WINDOW, CAP, True,
    )  # fmt: skip
    result = average(total, weighted) * value_scale
    tl.store(out + token_rows[:, None] * out_stride + in_token, result.to(out.dtype.element_ty), mask=real[:, None])
