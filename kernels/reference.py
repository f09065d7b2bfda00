"""Every operation of the decoder in plain PyTorch: the CPU backend, and the oracle for the Triton kernels.

Shapes: T tokens of this step, decodes first; B decodes; H query heads, G KV heads, D head dim; V vocabulary.
The KV cache of one layer is `[2, blocks, G, block_size, D]`: keys, then values, of the queries' dtype or
float8_e4m3fn. Any strides will do; on a CPU the runner keeps the heads outermost in memory, so that a gather of blocks
comes out contiguous.
A block is cleared before its first token is written (`clear_blocks`): slots past a sequence's end are then finite, and
masking their scores is enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEVER = float("-inf")


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalize the last dimension in float32, then scale. `x [..., N]`, any float dtype, and returned in it.

    `weight [N]` is of x's dtype, or float32 where the scale must not be rounded (Gemma's 1 + w).
    """
    if weight.dtype == x.dtype:
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    return F.rms_norm(x.float(), (x.shape[-1],), weight, eps).to(x.dtype)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Add `x` into `residual` in place, then normalize the sum. All `[T, N]`."""
    residual.add_(x)
    return rms_norm(residual, weight, eps)


def silu_mul(gate_up: Tensor) -> Tensor:
    """`silu(gate) * up` of a packed `[T, 2N]`; returns `[T, N]`."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def gelu_tanh_mul(gate_up: Tensor) -> Tensor:
    """`gelu(gate) * up` with the tanh approximation, of a packed `[T, 2N]`; returns `[T, N]`."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.gelu(gate, approximate="tanh").mul_(up)


def softcap(x: Tensor, cap: float) -> Tensor:
    """Squash into (-cap, cap): `cap * tanh(x / cap)`."""
    return torch.tanh(x / cap) * cap


def route(logits: Tensor, per_token: int, normalized: bool) -> tuple[Tensor, Tensor]:
    """The `per_token` likeliest experts of each token, from router `logits [T, E]`: shares float32, ids, `[T, k]`.

    Shares are probabilities among all experts, or among the chosen ones if `normalized`.
    """
    shares, chosen = logits.softmax(dim=-1, dtype=torch.float32).topk(per_token, dim=-1)
    return (shares / shares.sum(dim=-1, keepdim=True) if normalized else shares), chosen


def experts(
    x: Tensor,
    shares: Tensor,
    chosen: Tensor,
    gate_up: Tensor,
    down: Tensor,
    activation: Callable[[Tensor], Tensor],
    scales: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Each token through its chosen experts, summed by shares. `x [T, N]`; `shares` and `chosen` as of `route`.

    `gate_up [E, 2I, N]`, `down [E, N, I]`; those in 8 bits have `scales [E, 2I]` and `[E, N]`. Tokens are sorted by
    expert, so that each expert multiplies once.
    """

    def through(expert: int, rows: Tensor) -> Tensor:
        if scales is None:
            return F.linear(activation(F.linear(rows, gate_up[expert])), down[expert])
        hidden = activation(quantized_linear(rows, gate_up[expert], scales[0][expert]))
        return quantized_linear(hidden, down[expert], scales[1][expert])

    return through_experts(x, shares, chosen, len(gate_up), through)


def through_experts(
    x: Tensor, shares: Tensor, chosen: Tensor, count: int, through: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """As `experts`, for `count` of any kind: `through(expert, rows)` puts rows through one."""
    order = chosen.flatten().argsort(stable=True)
    tokens = order // chosen.shape[1]
    counts: list[int] = chosen.flatten().bincount(minlength=count).tolist()
    parts = torch.split(x[tokens], counts)
    outputs = [through(expert, rows) for expert, rows in enumerate(parts) if len(rows)]
    weighted = torch.cat(outputs) * shares.flatten()[order, None]
    return torch.zeros(x.shape, dtype=torch.float32).index_add_(0, tokens, weighted).to(x.dtype)


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate halves (the Hugging Face layout) of the first R numbers of a head, where R is D or less.

    `x [T, heads, D]`; `cos` and `sin` `[T, 1, R / 2]` of x's dtype.
    """
    rotated = torch.empty(x.shape, dtype=x.dtype)
    dim = 2 * cos.shape[-1]
    first, second = x[..., :dim].chunk(2, dim=-1)
    into_first, into_second = rotated[..., :dim].chunk(2, dim=-1)
    if dim < x.shape[-1]:
        rotated[..., dim:] = x[..., dim:]
    torch.mul(first, cos, out=into_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=into_second).addcmul_(first, sin)
    return rotated


def rope_and_write_kv(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    cache: Tensor,
    slots: Tensor,
    norms: tuple[Tensor, Tensor, float] | None = None,
) -> Tensor:
    """Normalize (where the family does) and rotate queries and keys, store keys and values, return the queries.

    `qkv [T, H + 2G, D]` is overwritten; `slots [T]` are block * block_size + offset; `norms` are the query and key
    weights `[D]` and epsilon of QK-norm. Returns `[T, H, D]`.
    """
    kv_heads, block_size = cache.shape[2:4]
    heads = qkv.shape[1] - 2 * kv_heads
    queries_keys = qkv[:, : heads + kv_heads]
    if norms is not None:
        query_weight, key_weight, eps = norms
        queries_keys[:, :heads] = rms_norm(queries_keys[:, :heads], query_weight, eps)
        queries_keys[:, heads:] = rms_norm(queries_keys[:, heads:], key_weight, eps)
    rotated = rope(queries_keys, cos, sin)
    qkv[:, heads : heads + kv_heads] = rotated[:, heads:]
    stored = _as_stored(qkv[:, heads:].view(-1, 2, kv_heads, qkv.shape[2]), cache.dtype)
    cache[:, slots // block_size, :, slots % block_size] = stored
    return rotated[:, :heads]


def _as_stored(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Of the cache's dtype. Float8 has no infinity to overflow to: what it can't hold becomes its largest number."""
    largest = torch.finfo(dtype).max
    return values.clamp(-largest, largest).to(dtype) if dtype == torch.float8_e4m3fn else values


def clear_blocks(caches: Tensor, blocks: Tensor) -> None:
    """Zero `blocks [N]` in the caches of all layers, `[layers, 2, blocks, G, block_size, D]`."""
    if len(blocks):
        plain = caches.view(torch.uint8) if caches.dtype == torch.float8_e4m3fn else caches
        plain.index_fill_(2, blocks, 0)


@dataclass(frozen=True, slots=True)
class DecodeGroup:
    """Decodes `first .. last` of the batch, of similar context length, and what each may see; same for all layers.

    `tables [rows * blocks]` flat; `mask [1, rows, 1, L]` additive.
    """

    first: int
    last: int
    tables: Tensor
    mask: Tensor


def decode_group(
    first: int, tables: Tensor, lengths: Tensor, block_size: int, window: int | None, dtype: torch.dtype
) -> DecodeGroup:
    """Prepare decodes with `tables [rows, blocks]` (padded with any block) and context `lengths [rows]`, each >= 1.

    `window` is the sliding window: how many of the last positions, its own included, a token sees.
    """
    rows, blocks = tables.shape
    positions = torch.arange(blocks * block_size)
    hidden = positions >= lengths[:, None]
    if window is not None:
        hidden |= positions < lengths[:, None] - window
    mask = torch.zeros(rows, blocks * block_size, dtype=dtype).masked_fill_(hidden, NEVER)
    return DecodeGroup(first, first + rows, tables.flatten(), mask[None, :, None])


def decode_attention(
    queries: Tensor, cache: Tensor, groups: Sequence[DecodeGroup], scale: float, out: Tensor, cap: float | None = None
) -> None:
    """Attention of one query a sequence over its paged context. `queries` and `out` `[T, H, D]`, indexed by group.

    With a `cap`, scores are soft-capped before they are masked.
    """
    kv_heads, _, head_dim = cache.shape[2:]
    by_head = cache.transpose(1, 2)
    for group in groups:
        rows = group.last - group.first
        context = by_head.index_select(2, group.tables).view(2, kv_heads, rows, -1, head_dim).to(queries.dtype)
        packed = queries[group.first : group.last].view(rows, kv_heads, -1, head_dim).transpose(0, 1)
        attended = _attend(packed, context[0], context[1], group.mask, scale, cap)
        out[group.first : group.last] = attended.transpose(0, 1).flatten(1, 2)


@dataclass(frozen=True, slots=True)
class PromptChunk:
    """Tokens `first .. last` of the batch: one prompt's chunk, with the blocks of its whole context so far.

    `table [blocks]`, `length` context tokens including the chunk; `mask [count, length]` additive, or None where
    plain causal masking is right (no prefix, no window).
    """

    first: int
    last: int
    table: Tensor
    length: int
    mask: Tensor | None


def prompt_chunk(
    first: int, table: Tensor, start: int, count: int, window: int | None, dtype: torch.dtype
) -> PromptChunk:
    """Prepare a chunk of `count` tokens at positions `start ..`."""
    length = start + count
    mask = None
    if start or (window is not None and length > window):
        distance = torch.arange(start, length)[:, None] - torch.arange(length)
        hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
        mask = torch.zeros(count, length, dtype=dtype).masked_fill_(hidden, NEVER)
    return PromptChunk(first, first + count, table, length, mask)


def prefill_attention(
    queries: Tensor, cache: Tensor, chunks: Sequence[PromptChunk], scale: float, out: Tensor, cap: float | None = None
) -> None:
    """Causal attention of prompt chunks over prefix and chunk. `queries` and `out` `[T, H, D]`, indexed by chunk.

    With a `cap`, scores are soft-capped before they are masked.
    """
    kv_heads, _, head_dim = cache.shape[2:]
    by_head = cache.transpose(1, 2)
    for chunk in chunks:
        context = by_head.index_select(2, chunk.table).view(2, kv_heads, 1, -1, head_dim)[..., : chunk.length, :]
        context = context.to(queries.dtype)
        rows = queries[chunk.first : chunk.last].transpose(0, 1)
        rows = rows.view(kv_heads, -1, *rows.shape[1:])
        keys, values = context.expand(-1, -1, rows.shape[1], -1, -1)
        attended = _attend(rows, keys, values, chunk.mask, scale, cap)
        out[chunk.first : chunk.last] = attended.flatten(0, 1).transpose(0, 1)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float, cap: float | None
) -> Tensor:
    """`queries [..., Q, D]` over `keys` and `values` `[..., L, D]`; `mask` is additive, or None for causal."""
    if cap is None:
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=mask is None, scale=scale
        )
    scores = softcap(queries @ keys.mT * scale, cap)
    if mask is None:
        mask = torch.full(scores.shape[-2:], NEVER).triu_(1)
    return (scores + mask).softmax(dim=-1, dtype=torch.float32).to(values.dtype) @ values


@dataclass(frozen=True, slots=True)
class LogitEdits:
    """Changes to logits `[S, V]` before a draw, sparse: columns of equal length, the first two row and token.

    `bias` (row, token, value); `penalties` (row, token, factor, amount), each token of a row once; `forbidden` (row,
    token); `masked [M]` rows of which `allowed [M, V]` bool says what may stay, at least one token each. `min_p` is
    (row, most) by which a token may lie below the likeliest: -temperature · ln(min_p).
    """

    bias: tuple[Tensor, ...]
    penalties: tuple[Tensor, ...]
    forbidden: tuple[Tensor, ...]
    masked: Tensor
    allowed: Tensor | None
    min_p: tuple[Tensor, ...]


def edit_logits(logits: Tensor, edits: LogitEdits) -> Tensor:
    """Bias, penalties, what is forbidden, then min-p; returns a copy in float32.

    A penalty divides positive logits by its factor and multiplies negative ones, and then takes its amount off.
    """
    edited = logits.to(torch.float32, copy=True)
    rows, tokens, values = edits.bias
    edited.index_put_((rows, tokens), values, accumulate=True)
    rows, tokens, factors, amounts = edits.penalties
    picked = edited[rows, tokens]
    edited[rows, tokens] = torch.where(picked > 0, picked / factors, picked * factors) - amounts
    rows, tokens = edits.forbidden
    edited[rows, tokens] = NEVER
    if edits.allowed is not None:
        edited[edits.masked] = edited[edits.masked].masked_fill(~edits.allowed, NEVER)
    rows, most = edits.min_p
    least = edited[rows].max(dim=-1).values - most
    edited[rows] = edited[rows].masked_fill(edited[rows] < least[:, None], NEVER)
    return edited


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Sampling parameters as tensors, one row a token to draw: `temperature, top_p [S]` float32, the rest int64."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seed: Tensor
    position: Tensor


def sample(logits: Tensor, rows: SamplingRows | None) -> Tensor:
    """Draw one token a row from `logits [S, V]`; None means greedy for all. Returns int64 `[S]`.

    A draw is the Gumbel-max of the filtered, tempered logits. Its noise is a hash of (seed, position, token id), so
    it does not depend on the batch.
    """
    greedy = logits.max(dim=-1).indices  # several times faster than argmax on a CPU
    if rows is None:
        return greedy
    scores = logits.float() / rows.temperature.clamp_min(1e-6)[:, None]
    scores = _keep_top(scores, rows.top_k, rows.top_p)
    noise = hashed_uniform(rows.seed, rows.position, logits.shape[-1])
    drawn = (scores - torch.log(-torch.log(noise))).argmax(dim=-1)
    return torch.where(rows.temperature > 0, drawn, greedy)


def _keep_top(scores: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Set scores outside the k likeliest, and outside the smallest set with probability top_p of those, to -inf.

    Scores that tie with the least one kept are kept too, so that what is drawn depends on no order of sorting.
    """
    if bool(((top_k <= 0) & (top_p >= 1)).all()):
        return scores  # a sort of the vocabulary costs more than the rest of a draw
    ordered = scores.sort(dim=-1, descending=True).values
    limit = torch.where(top_k > 0, top_k, ordered.shape[-1]).clamp_max(ordered.shape[-1])
    least = _at_rank(ordered, limit)
    ordered = ordered.masked_fill(ordered < least, NEVER)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = (before < top_p[:, None]).sum(dim=-1).clamp_min(1)
    least = torch.maximum(least, _at_rank(ordered, kept))
    return scores.masked_fill(scores < least, NEVER)


def _at_rank(ordered: Tensor, rank: Tensor) -> Tensor:
    """The score of each row at `rank` (from 1) in descending order, `[S, 1]`."""
    return ordered.gather(-1, rank[:, None] - 1)


def hashed_uniform(seed: Tensor, position: Tensor, count: int) -> Tensor:
    """Uniform numbers in (0, 1), `[S, count]` float32, from 32-bit integer hashing (murmur3's finalizer, twice)."""
    low, high = seed & 0xFFFFFFFF, seed >> 32
    row = _mix(_mix(low ^ _mix(high + 0x9E3779B9)) ^ (position * 0x85EBCA6B & 0xFFFFFFFF))
    bits = _mix(row[:, None] ^ _mix(torch.arange(1, count + 1)))
    return ((bits >> 9).float() + 0.5) * 2.0**-23  # float32 would round 24 bits and a half up to 1


def _mix(value: Tensor) -> Tensor:
    value = value & 0xFFFFFFFF
    value = (value ^ (value >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ (value >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ (value >> 16)


def logprobs(logits: Tensor, tokens: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log probabilities of `tokens [S]` and of the `count` likeliest, from `logits [S, V]`.

    Returns them as float32 `[S]`; the likeliest ids, int64 `[S, count]`; and theirs, float32 `[S, count]`, descending.
    """
    every = logits.float().log_softmax(dim=-1)
    top = every.topk(count, dim=-1)
    return every.gather(-1, tokens[:, None])[:, 0], top.indices, top.values


def quantized_linear(x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """`x @ (weight * scales).T`: `x [T, in]`, `weight [out, in]` int8 or float8_e4m3fn, `scales [out]` float32."""
    return (F.linear(x.float(), weight.float()) * scales).to(x.dtype)


DIGIT_BASE = 254  # a rest of half a unit at most is 127 of the next digit's


def split_rows(x: Tensor, planes: int) -> tuple[Tensor, Tensor]:
    """Rows as integers, to be multiplied exactly: `x [T, in]` is the sum over p of digits[p] / 254^p, times its unit.

    Returns digits, int8 `[planes, T, in]`, and units, float32 `[T, 1]`. Besides float32's own
    rounding, no number is off by more than its row's largest / 254^planes.
    """
    rest = x.float()
    units = (rest.abs().amax(dim=-1, keepdim=True) / 127).clamp_min_(1e-30)
    rest = rest / units
    digits = torch.empty(planes, *x.shape, dtype=torch.int8, device=x.device)
    for plane in digits:
        whole = rest.round()
        plane.copy_(whole)
        rest = (rest - whole) * DIGIT_BASE
    return digits, units


def join_rows(products: Tensor, units: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Fill `out [T, out]` from float32 `products [planes, T, out]` of `split_rows` with a weight."""
    *higher, total = products
    for product in reversed(higher):
        total = total / DIGIT_BASE + product
    total = total * units
    out.copy_(total if bias is None else total + bias)
