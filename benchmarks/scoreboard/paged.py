"""Random sequences in pages, for checking and timing attention; memory that holds no token of any is NaN."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kernels.attention import PagedRows

BLOCK_SIZE = 64


@dataclass(frozen=True, slots=True)
class Paged:
    """A step over one layer's cache `[2, blocks, G, 64, D]`: `queries [T, H, D]`, and `out` of that shape, all NaN."""

    batch: PagedRows
    cache: Tensor
    queries: Tensor
    out: Tensor
    scale: float

    def last(self, tokens: int) -> Self:
        """A single sequence of which only the last of its fresh tokens are asked for."""
        queries = self.queries[-tokens:]
        first = torch.tensor([0, len(queries)], dtype=torch.int32, device=queries.device)
        return dataclasses.replace(self, batch=dataclasses.replace(self.batch, first=first), queries=queries)


def paged(
    lengths: Sequence[int],
    fresh: Sequence[int],
    *,
    kv_heads: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    device: str,
    kv_dtype: torch.dtype | None = None,
) -> Paged:
    """Sequences of `lengths` tokens of context, of which this step computes the last `fresh`; blocks in any order.

    With a `kv_dtype` nothing but block 0 is NaN.
    """
    width = max(1, *(-(-length // BLOCK_SIZE) for length in lengths))
    blocks = torch.randperm(len(lengths) * width, device=device).int() + 1
    tables = blocks.view(len(lengths), width)
    shape = (2, len(blocks) + 1, kv_heads, BLOCK_SIZE, head_dim)
    cache = torch.empty(shape, dtype=kv_dtype or dtype, device=device)
    for kind, block in itertools.product(range(2), range(0, len(blocks) + 1, 4096)):  # a part at a time, for its room
        part = cache[kind, block : block + 4096]
        part.copy_(torch.randn(part.shape, dtype=dtype, device=device))
    cache[:, 0] = math.nan
    if kv_dtype is None:
        for table, length in zip(tables, lengths, strict=True):
            cache[:, table[-(-length // BLOCK_SIZE) :]] = math.nan
            if length % BLOCK_SIZE:
                cache[:, table[length // BLOCK_SIZE], :, length % BLOCK_SIZE :] = math.nan
    first = torch.tensor([0, *itertools.accumulate(fresh)], dtype=torch.int32, device=device)
    rows = torch.arange(len(lengths), dtype=torch.int32, device=device)
    batch = PagedRows(rows, first, torch.tensor(lengths, dtype=torch.int32, device=device), tables)
    queries = torch.randn(sum(fresh), kv_heads * group, head_dim, dtype=dtype, device=device)
    return Paged(batch, cache, queries, torch.full_like(queries, math.nan), head_dim**-0.5)


def attention(case: Paged, sequence: int, window: int | None = None) -> Tensor:
    """What attention of a sequence's fresh tokens must be, `[fresh, H, D]` in float64: softmax as it is defined."""
    begin, end = case.batch.first[sequence : sequence + 2].tolist()
    length = int(case.batch.lengths[sequence])
    table = case.batch.tables[sequence, : -(-length // BLOCK_SIZE)].long()
    context = case.cache[:, table].double().transpose(2, 3).flatten(1, 2)[:, :length]
    group = case.queries.shape[1] // context.shape[2]
    keys, values = context.repeat_interleave(group, dim=2)
    scores = torch.einsum("qhd,lhd->hql", case.queries[begin:end].double(), keys) * case.scale
    places = torch.arange(length, device=scores.device)
    distance = places[length - (end - begin) :, None] - places
    hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
    shares = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return torch.einsum("hql,lhd->qhd", shares, values)
