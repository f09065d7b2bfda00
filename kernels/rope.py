"""QK-norm, rotary embedding and the write into paged KV memory, in one pass over the packed projection."""

import torch
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
        qkv: `[T, H + 2G, D]`, heads contiguous; float32, float16 or bfloat16; D a power of two.
        cos, sin: `[T, 1, R / 2]`; halves of the first R numbers are rotated, as Hugging Face lays them out; R <= D.
        cache: `[2, blocks, G, block_size, D]`, D contiguous, of the same dtype or float8_e4m3fn.
        slots: `[T]` int64, block * block_size + offset. Padding tokens go to slots of block 0.
        norms: query and key weights `[D]` and epsilon of QK-norm.
        kv_scales: `[2, G]` float32; keys and values are divided by them before they are stored.

    Returns:
        The queries `[T, H, D]`.
    """
    tokens, packed_heads, head_dim = qkv.shape
    kv_heads, block_size = cache.shape[2:4]
    query_weight, key_weight, eps = norms if norms is not None else (None, None, 0.0)
    heads = packed_heads - 2 * kv_heads
    queries = torch.empty((tokens, heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    _rope_and_write_kv[(tokens, triton.cdiv(packed_heads, HEADS_PER_PROGRAM))](
        qkv,
        queries,
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
        HEADS=heads,
        KV_HEADS=kv_heads,
        HEAD_DIM=head_dim,
        ROTATED=2 * cos.shape[2],
        BLOCK_SIZE=block_size,
        TILE=HEADS_PER_PROGRAM,
        num_warps=4,
    )
    return queries


@triton.jit
def _rope_and_write_kv(
    qkv,
    queries,
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
    ROTATED: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
):
    """TILE of one token's packed heads: queries, then keys, then values."""
    token = tl.program_id(0).to(tl.int64)
    heads = tl.program_id(1) * TILE + tl.arange(0, TILE)
    dims = tl.arange(0, HEAD_DIM)
    partners = tl.where(dims < ROTATED // 2, dims + ROTATED // 2, dims - ROTATED // 2)
    turns = (dims < ROTATED)[None, :]
    real = (heads < HEADS + 2 * KV_HEADS)[:, None]
    is_query = (heads < HEADS)[:, None]
    is_value = (heads >= HEADS + KV_HEADS)[:, None]
    source = qkv + token * token_stride + heads[:, None] * HEAD_DIM
    original = tl.load(source + dims[None, :], mask=real, other=0.0).to(tl.float32)
    partner = tl.load(source + partners[None, :], mask=real & turns, other=0.0).to(tl.float32)

    own = original
    if query_weight is not None:
        factor = tl.rsqrt(tl.sum(original * original, 1) / HEAD_DIM + eps)[:, None]
        own *= factor * _weights(query_weight, key_weight, dims, dims < HEAD_DIM, is_query)
        partner *= factor * _weights(query_weight, key_weight, partners, dims < ROTATED, is_query)
    angles = token * angle_stride + dims % (ROTATED // 2)
    cosine = tl.load(cos + angles, mask=dims < ROTATED, other=1.0).to(tl.float32)
    sine = tl.load(sin + angles, mask=dims < ROTATED, other=0.0).to(tl.float32)
    sine = tl.where(dims < ROTATED // 2, -sine, sine)
    turned = own * cosine[None, :] + partner * sine[None, :]
    result = tl.where(is_value, original, turned)
    to_query = queries + (token * HEADS + heads[:, None]) * HEAD_DIM + dims[None, :]
    tl.store(to_query, result.to(queries.dtype.element_ty), mask=is_query)

    slot = tl.load(slots + token)
    pair = tl.maximum(heads - HEADS, 0)  # keys' heads, then values'
    if kv_scales is not None:
        result /= tl.load(kv_scales + pair, mask=pair < 2 * KV_HEADS, other=1.0)[:, None]
    if cache.dtype.element_ty == tl.float8e4nv:
        result = _fit_float8(result)
    to_head = (pair // KV_HEADS).to(tl.int64) * kind_stride + (pair % KV_HEADS).to(tl.int64) * head_stride
    target = slot // BLOCK_SIZE * block_stride + slot % BLOCK_SIZE * slot_stride + to_head[:, None] + dims[None, :]
    tl.store(cache + target, result.to(cache.dtype.element_ty), mask=real & (is_query == 0))


@triton.jit
def _weights(query_weight, key_weight, dims, real, is_query):
    """The QK-norm weights of `dims`, a row a head."""
    of_query = tl.load(query_weight + dims, mask=real, other=0.0).to(tl.float32)[None, :]
    of_key = tl.load(key_weight + dims, mask=real, other=0.0).to(tl.float32)[None, :]
    return tl.where(is_query, of_query, of_key)


@triton.jit
def _fit_float8(x):
    """Limit to what float8_e4m3fn can hold, which has no infinity to overflow to."""
    return tl.minimum(tl.maximum(x, -448.0), 448.0)
