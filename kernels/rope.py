"""QK-norm, rotary embedding and the write into paged KV memory, in one pass over the packed projection."""

import triton
import triton.language as tl
from torch import Tensor

HEADS_PER_PROGRAM = 8


def rope_and_write_kv(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    cache: Tensor,
    slots: Tensor,
    norms: tuple[Tensor, Tensor, float] | None = None,
    kv_scales: Tensor | None = None,
) -> Tensor:
    """Normalize (where the family does) and rotate queries and keys, store keys and values, return the queries.

    Args:
        qkv: `[T, H + 2G, D]` contiguous; float32, float16 or bfloat16; the queries in it are overwritten.
        cos, sin: `[T, 1, D / 2]`, halves rotated as Hugging Face lays them out.
        cache: `[2, blocks, G, block_size, D]`, D contiguous, of the same dtype or float8_e4m3fn.
        slots: `[T]` int64, block * block_size + offset. Padding tokens go to slots of block 0.
        norms: query and key weights `[D]` and epsilon of QK-norm.
        kv_scales: `[2, G]` float32; keys and values are divided by them before they are stored.

    Returns:
        The queries `[T, H, D]`, a view into `qkv`.
    """
    tokens, packed_heads, head_dim = qkv.shape
    kv_heads, block_size = cache.shape[2:4]
    query_weight, key_weight, eps = norms if norms is not None else (None, None, 0.0)
    _rope_and_write_kv[(tokens, triton.cdiv(packed_heads, HEADS_PER_PROGRAM))](
        qkv,
        cos,
        sin,
        cache,
        slots,
        query_weight,
        key_weight,
        eps,
        kv_scales,
        qkv.stride(0),
        cos.stride(0),
        *cache.stride()[:4],
        HEADS=packed_heads - 2 * kv_heads,
        KV_HEADS=kv_heads,
        HEAD_DIM=head_dim,
        BLOCK_SIZE=block_size,
        TILE=HEADS_PER_PROGRAM,
        num_warps=4,
    )
    return qkv[:, : packed_heads - 2 * kv_heads]


@triton.jit
def _rope_and_write_kv(
    qkv,
    cos,
    sin,
    cache,
    slots,
    query_weight,
    key_weight,
    eps,
    kv_scales,
    token_stride,
    angle_stride,
    kind_stride,
    block_stride,
    head_stride,
    slot_stride,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
):
    """TILE of one token's packed heads: queries, then keys, then values."""
    token = tl.program_id(0).to(tl.int64)
    heads = tl.program_id(1) * TILE + tl.arange(0, TILE)
    half = tl.arange(0, HEAD_DIM // 2)
    real = (heads < HEADS + 2 * KV_HEADS)[:, None]
    is_query = (heads < HEADS)[:, None]
    is_value = (heads >= HEADS + KV_HEADS)[:, None]
    source = qkv + token * token_stride + heads[:, None] * HEAD_DIM + half[None, :]
    first = tl.load(source, mask=real, other=0.0).to(tl.float32)
    second = tl.load(source + HEAD_DIM // 2, mask=real, other=0.0).to(tl.float32)

    turned_first, turned_second = first, second
    if query_weight is not None:
        squares = tl.sum(first * first + second * second, 1)
        factor = tl.rsqrt(squares / HEAD_DIM + eps)[:, None]
        turned_first *= factor * _weights(query_weight, key_weight, half, is_query)
        turned_second *= factor * _weights(query_weight, key_weight, half + HEAD_DIM // 2, is_query)
    c = tl.load(cos + token * angle_stride + half).to(tl.float32)[None, :]
    s = tl.load(sin + token * angle_stride + half).to(tl.float32)[None, :]
    first, second = (
        tl.where(is_value, first, turned_first * c - turned_second * s),
        tl.where(is_value, second, turned_second * c + turned_first * s),
    )
    tl.store(source, first.to(qkv.dtype.element_ty), mask=is_query)
    tl.store(source + HEAD_DIM // 2, second.to(qkv.dtype.element_ty), mask=is_query)

    slot = tl.load(slots + token)
    pair = tl.maximum(heads - HEADS, 0)  # keys' heads, then values'
    if kv_scales is not None:
        scale = tl.load(kv_scales + pair, mask=pair < 2 * KV_HEADS, other=1.0)[:, None]
        first = _fit_float8(first / scale)
        second = _fit_float8(second / scale)
    to_head = (pair // KV_HEADS).to(tl.int64) * kind_stride + (pair % KV_HEADS).to(tl.int64) * head_stride
    target = cache + slot // BLOCK_SIZE * block_stride + slot % BLOCK_SIZE * slot_stride + to_head[:, None] + half
    tl.store(target, first.to(cache.dtype.element_ty), mask=real & (is_query == 0))
    tl.store(target + HEAD_DIM // 2, second.to(cache.dtype.element_ty), mask=real & (is_query == 0))


@triton.jit
def _weights(query_weight, key_weight, dims, is_query):
    """The QK-norm weights of `dims`, a row a head."""
    of_query = tl.load(query_weight + dims).to(tl.float32)[None, :]
    return tl.where(is_query, of_query, tl.load(key_weight + dims).to(tl.float32)[None, :])


@triton.jit
def _fit_float8(x):
    """Limit to what float8_e4m3fn can hold, which has no infinity to overflow to."""
    return tl.minimum(tl.maximum(x, -448.0), 448.0)
