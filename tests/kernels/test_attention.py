"""Decode and prefill attention against plain softmax, one sequence and head at a time in float64.

All memory that holds no token of a sequence is NaN: padding slots, unused blocks, and block 0, which table entries
past a sequence's end name.
"""

import math
from dataclasses import dataclass
from typing import TypedDict, Unpack

import pytest
import torch
from torch import Tensor

from kernels.attention import PagedRows
from kernels.decode import decode_attention
from kernels.prefill import prefill_attention
from kernels.rope import rope_and_write_kv
from kernels.tuning import DecodeLaunch, PrefillLaunch

SIZE = 32  # tokens in a block
TILE = 16
SCALE = 0.2
LENGTHS = [1, 15, 16, 17, 31, 32, 33, 0, 75]
WHOLE = DecodeLaunch(TILE, warps=4, stages=2, splits=1, split_tokens=TILE)
SPLIT = DecodeLaunch(TILE, warps=4, stages=2, splits=4, split_tokens=TILE)
PARTS = PrefillLaunch(rows=16, tile=TILE, warps=4, stages=2)


@dataclass
class Paged:
    """Random sequences: in pages, and as `[length, 2, G, D]` each."""

    batch: PagedRows
    cache: Tensor
    contexts: list[Tensor]


def paged(lengths: list[int], counts: list[int], kv_heads: int, dim: int, dtype: torch.dtype = torch.float32) -> Paged:
    torch.manual_seed(len(lengths) * 1000 + kv_heads * 100 + dim)
    width = -(-max(lengths) // SIZE)
    free = iter((torch.randperm(len(lengths) * width) + 1).tolist())
    rows = torch.randperm(len(lengths) + 2)[: len(lengths)]
    tables = torch.zeros(len(lengths) + 2, width, dtype=torch.int32)
    cache = torch.full((2, len(lengths) * width + 1, kv_heads, SIZE, dim), math.nan, dtype=dtype)
    contexts = [torch.randn(length, 2, kv_heads, dim).to(dtype) for length in lengths]
    for row, context in zip(rows.tolist(), contexts, strict=True):
        for index, block in enumerate(torch.split(context, SIZE) if len(context) else ()):
            tables[row, index] = next(free)
            cache[:, tables[row, index], :, : len(block)] = block.permute(1, 2, 0, 3)
    first = torch.tensor([0, *counts]).cumsum(0)
    batch = PagedRows(rows.int(), first.int(), torch.tensor(lengths, dtype=torch.int32), tables)
    return Paged(batch, cache, contexts)


class Options(TypedDict, total=False):
    window: int
    cap: float
    sinks: Tensor


def expected(query: Tensor, context: Tensor, **options: Unpack[Options]) -> Tensor:
    """Attention of one token's `query [H, D]`, the last of `context [L, 2, G, D]`, in float64."""
    heads = len(query)
    keys_values = context[max(0, len(context) - options.get("window", len(context))) :].double()
    keys, values = keys_values.repeat_interleave(heads // context.shape[2], dim=2).unbind(1)
    scores = torch.einsum("hd,lhd->hl", query.double(), keys) * SCALE
    if "cap" in options:
        scores = options["cap"] * torch.tanh(scores / options["cap"])
    if "sinks" in options:
        scores = torch.cat([scores, options["sinks"].double()[:, None]], dim=1)
        values = torch.cat([values, torch.zeros(1, *values.shape[1:], dtype=torch.float64)])
    return torch.einsum("hl,lhd->hd", scores.softmax(1), values)


def check_decode(case: Paged, group: int, launch: DecodeLaunch, **options: Unpack[Options]) -> None:
    kv_heads, _, dim = case.cache.shape[2:]
    queries = torch.randn(len(case.contexts), kv_heads * group, dim).to(case.cache.dtype)
    out = torch.full_like(queries, math.nan)
    decode_attention(queries, case.cache, case.batch, SCALE, out, launch=launch, **options)
    for query, context, got in zip(queries, case.contexts, out, strict=True):
        close(got, expected(query, context, **options) if len(context) else torch.zeros_like(query))


def check_prefill(case: Paged, group: int, **options: Unpack[Options]) -> None:
    """Each token of each chunk, and that no other token of `out` is touched."""
    kv_heads, _, dim = case.cache.shape[2:]
    first = case.batch.first.tolist()
    queries = torch.randn(first[-1] + 3, kv_heads * group, dim).to(case.cache.dtype)
    out = torch.full_like(queries, math.nan)
    prefill_attention(queries, case.cache, case.batch, SCALE, out, launch=PARTS, **options)
    for context, begin, end in zip(case.contexts, first, first[1:], strict=False):
        for token in range(begin, end):
            seen = context[: len(context) - (end - token) + 1]
            close(out[token], expected(queries[token], seen, **options))
    assert out[first[-1] :].isnan().all()


def close(got: Tensor, want: Tensor) -> None:
    tolerance = {torch.float32: 2e-5, torch.float16: 4e-3}[got.dtype]
    torch.testing.assert_close(got.double(), want.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("dim", [64, 128, 256])
def test_decode_for_every_head_dim(dim: int, dtype: torch.dtype) -> None:
    check_decode(paged(LENGTHS, [], 2, dim, dtype), 4, SPLIT)


@pytest.mark.parametrize("group", range(1, 18))
def test_decode_for_every_group(group: int) -> None:
    check_decode(paged([40, 17], [], 2, 16), group, SPLIT)


@pytest.mark.parametrize("launch", [WHOLE, SPLIT], ids=["whole", "split"])
@pytest.mark.parametrize("options", [{"window": 5}, {"window": 40}, {"cap": 0.5}], ids=str)
def test_decode_with_windows_and_cap(launch: DecodeLaunch, options: Options) -> None:
    check_decode(paged(LENGTHS, [], 1, 16), 2, launch, **options)


@pytest.mark.parametrize("launch", [WHOLE, SPLIT], ids=["whole", "split"])
def test_decode_with_sinks_counts_each_once(launch: DecodeLaunch) -> None:
    check_decode(paged(LENGTHS, [], 2, 16), 2, launch, sinks=torch.tensor([-2.0, 0.0, 1.0, 6.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("dim", [64, 128, 256])
def test_prefill_for_every_head_dim(dim: int, dtype: torch.dtype) -> None:
    check_prefill(paged([19, 70], [19, 5], 1, dim, dtype), 2)


@pytest.mark.parametrize("group", range(1, 17))
def test_prefill_for_every_group(group: int) -> None:
    check_prefill(paged([9, 40], [9, 3], 2, 16), group)


CHUNKS = [1, 15, 16, 7, 31, 0, 1, 0, 40]  # of LENGTHS: whole prompts, the ends of longer ones, nothing


@pytest.mark.parametrize("options", [{}, {"window": 5}, {"window": 20}, {"window": 70}, {"cap": 0.5}], ids=str)
def test_prefill_of_prompts_ends_and_nothing_in_one_call(options: Options) -> None:
    check_prefill(paged(LENGTHS, CHUNKS, 1, 16), 3, **options)


def test_prefill_with_sinks() -> None:
    check_prefill(paged([19, 70], [19, 5], 2, 16), 2, sinks=torch.tensor([-2.0, 0.0, 1.0, 6.0]))


def test_padding_rows_read_nothing() -> None:
    """Rows beyond the batch of a captured graph have length 0, tokens of their own and an impossible row number."""
    case = paged([0, 9, 0], [2, 9, 4], 1, 16)
    case.batch.rows[0] = case.batch.rows[2] = 1 << 20
    queries = torch.randn(15, 2, 16)
    out = torch.full_like(queries, 7.0)
    prefill_attention(queries, case.cache, case.batch, SCALE, out, launch=PARTS)
    close(out[10], expected(queries[10], case.contexts[1]))
    assert (out[:2] == 7).all()
    assert (out[11:] == 7).all()
    decode_attention(queries, case.cache, case.batch, SCALE, out, launch=SPLIT)
    assert (out[0] == 0).all()
    close(out[1], expected(queries[1], case.contexts[1]))


@pytest.mark.parametrize("launch", [WHOLE, SPLIT], ids=["whole", "split"])
@pytest.mark.parametrize("length", [SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 1])
def test_off_by_one_in_the_last_block(length: int, launch: DecodeLaunch) -> None:
    """The last token outweighs all others, and the slot after it would outweigh even that."""
    case = paged([length], [1], 1, 16)
    query = torch.ones(2, 2, 16)
    table = case.batch.tables[case.batch.rows[0]].tolist()
    for position, key, value in ((length - 1, 20.0, 5.0), (length, 40.0, 9.0)):
        if position // SIZE < len(table):
            case.cache[0, table[position // SIZE], :, position % SIZE] = key
            case.cache[1, table[position // SIZE], :, position % SIZE] = value
    out = torch.zeros_like(query)
    decode_attention(query[:1], case.cache, case.batch, SCALE, out, launch=launch)
    prefill_attention(query[1:], case.cache, case.batch, SCALE, out[1:], launch=PARTS)
    torch.testing.assert_close(out, torch.full_like(out, 5.0))


@pytest.mark.parametrize("window", [None, 20])
def test_missing_mask_of_a_later_token(window: int | None) -> None:
    """Every token of a chunk outweighs all before it, and those outside the window outweigh all inside."""
    case = paged([70], [37], 1, 16)
    for position, block in enumerate(case.batch.tables[case.batch.rows[0]].repeat_interleave(SIZE)[:70].tolist()):
        case.cache[0, block, :, position % SIZE] = 8.0 * position
        case.cache[1, block, :, position % SIZE] = position
    queries = torch.ones(37, 2, 16)
    queries[:, 1] = -1.0  # prefers the earliest that it sees
    out = torch.zeros_like(queries)
    prefill_attention(queries, case.cache, case.batch, SCALE, out, window=window, launch=PARTS)
    latest = torch.arange(33, 70).float()
    earliest = torch.zeros(37) if window is None else latest - window + 1
    torch.testing.assert_close(out, torch.stack([latest, earliest], 1)[:, :, None].expand_as(out))


def test_wrong_split_merge() -> None:
    """Parts hold unlike shares of the softmax's mass, none of them next to nothing: a wrong weight is far off."""
    case = paged([4 * TILE], [], 1, 16)
    table = case.batch.tables[case.batch.rows[0]].tolist()
    for part, lift in enumerate([0.6, 0.3, 0.0, 0.45]):
        place = part * TILE % SIZE
        case.cache[0, table[part * TILE // SIZE], :, place : place + TILE] += lift
        case.contexts[0][part * TILE : (part + 1) * TILE, 0] += lift
    queries = torch.ones(1, 1, 16)
    whole, split = torch.zeros_like(queries), torch.zeros_like(queries)
    decode_attention(queries, case.cache, case.batch, SCALE, whole, launch=WHOLE)
    decode_attention(queries, case.cache, case.batch, SCALE, split, launch=SPLIT)
    close(whole[0], expected(queries[0], case.contexts[0]))
    close(split[0], expected(queries[0], case.contexts[0]))


def test_shapes_that_can_not_be_addressed_are_refused() -> None:
    case = paged([5], [5], 1, 16)
    queries = torch.zeros(5, 1, 16)
    with pytest.raises(ValueError, match="multiple of the tile, 64"):
        decode_attention(queries, case.cache, case.batch, SCALE, queries, launch=DecodeLaunch(64, 4, 2, 1, 64))
    with pytest.raises(ValueError, match="head_dim is 8, 16 in the cache"):
        prefill_attention(queries[..., :8], case.cache, case.batch, SCALE, queries, launch=PARTS)
    with pytest.raises(ValueError, match="3 query heads do not divide among 2"):
        decode_attention(torch.zeros(5, 3, 16), case.cache.repeat(1, 1, 2, 1, 1), case.batch, SCALE, queries)


def test_blocks_beyond_two_to_the_31_numbers_are_found() -> None:
    """As in the pools of large GPUs. Only the pages that are touched take memory; keys and values share theirs."""
    dim, kv_heads, far = 64, 2, (1 << 31) // (2 * SIZE * 64) + 5
    cache = torch.empty(1, far + 1, kv_heads, SIZE, dim, dtype=torch.float8_e4m3fn).expand(2, -1, -1, -1, -1)
    context = torch.randn(9, 1, kv_heads, dim).to(torch.float8_e4m3fn)
    cache[0, far, :, :9] = context[:, 0].transpose(0, 1)
    whole = torch.tensor([0, 1], dtype=torch.int32)
    batch = PagedRows(whole[:1], whole, torch.tensor([9], dtype=torch.int32), torch.tensor([[far]], dtype=torch.int32))
    queries = torch.randn(1, kv_heads, dim)
    decoded, prefilled = torch.zeros_like(queries), torch.zeros_like(queries)
    decode_attention(queries, cache, batch, SCALE, decoded, launch=WHOLE)
    prefill_attention(queries, cache, batch, SCALE, prefilled, launch=PARTS)
    for got in (decoded, prefilled):
        close(got[0], expected(queries[0], context.float().expand(-1, 2, -1, -1)))
    written = torch.full((1, 3 * kv_heads, dim), 2.0)
    still = torch.ones(1, 1, dim // 2), torch.zeros(1, 1, dim // 2)
    rope_and_write_kv(written, *still, cache, torch.tensor([far * SIZE + 3]))
    assert (cache[0, far, :, 3].float() == 2).all()


def test_float8_cache_is_read_with_its_scales() -> None:
    case = paged([40, 9], [40, 3], 2, 16, torch.float16)
    scales = torch.tensor([[0.5, 2.0], [4.0, 0.25]])
    stored = case.cache.nan_to_num(448.0).to(torch.float8_e4m3fn)
    contexts = [
        context.to(torch.float8_e4m3fn).to(torch.float16) * scales[None, :, :, None] for context in case.contexts
    ]
    queries = torch.randn(43, 4, 16).half()
    out = torch.zeros_like(queries)
    prefill_attention(queries, stored, case.batch, SCALE, out, kv_scales=scales, launch=PARTS)
    close(out[39], expected(queries[39], contexts[0]).half())
    decode_attention(queries, stored, case.batch, SCALE, out, kv_scales=scales, launch=SPLIT)
    for query, context, got in zip(queries, contexts, out, strict=False):
        close(got, expected(query, context).half())
