"""The inputs of a step, made on the device from what it remembers of each request.

The host sends which rows take part and how many tokens each computes, and the ids of prompt tokens; a decode's token
and position never pass through it. A step can so be launched before the tokens of the one before it are read.
"""

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from kernels.reference import SamplingRows

TILE = 1024


@dataclass(frozen=True, slots=True)
class RequestRows:
    """What the device remembers of running requests, a row each, contiguous.

    `tables [R, max_blocks]` int32, block tables; `computed [R]` int32, tokens whose KV is written; `last_token [R]`
    int64; then sampling parameters: `temperature`, `top_p` `[R]` float32, `top_k`, `seed` `[R]` int64.
    """

    tables: Tensor
    computed: Tensor
    last_token: Tensor
    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seed: Tensor


@dataclass(frozen=True, slots=True)
class StepInputs:
    """What the decoder reads: T tokens in N chunks, as in `kernels.attention.PagedRows`.

    `tokens`, `positions`, `slots` `[T]` int64; `lengths [N]` int32, contexts with this step's tokens; `sampled [N]`
    int64, each chunk's last token; `sampling`, a row a chunk.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    lengths: Tensor
    sampled: Tensor
    sampling: SamplingRows


def build_inputs(
    requests: RequestRows, rows: Tensor, first: Tensor, tokens: Tensor, block_size: int, into: StepInputs
) -> None:
    """Write the inputs of a step whose chunk n computes the next `first[n + 1] - first[n]` tokens of `rows[n]`.

    Args:
        requests: the blocks of the step's tokens stand in `tables` already.
        rows: `[N]` int32, a row of `requests` each; -1 is padding, whose tokens all go to slot 0 of block 0.
        first: `[N + 1]` int32, ascending from 0. To fill a bucket, let padding chunks hold the tokens left over.
        tokens: `[T]` int64, ids of prompt tokens; -1 stands for the row's last token, which is a decode's.
        into: T and N long; may be larger than what is written.
    """
    sampling = into.sampling
    _build_inputs[(len(rows),)](
        rows,
        first,
        tokens,
        requests.tables,
        requests.computed,
        requests.last_token,
        requests.temperature,
        requests.top_k,
        requests.top_p,
        requests.seed,
        into.tokens,
        into.positions,
        into.slots,
        into.lengths,
        into.sampled,
        sampling.temperature,
        sampling.top_k,
        sampling.top_p,
        sampling.seed,
        sampling.position,
        requests.tables.stride(0),
        BLOCK_SIZE=block_size,
        TILE=TILE,
        num_warps=4,
    )


def finish_step(requests: RequestRows, rows: Tensor, first: Tensor, drawn: Tensor) -> None:
    """Remember that a step was computed: `drawn [N]` int64 are the tokens sampled from each chunk.

    A chunk in the middle of its prompt leaves a token that is never read: its next chunk brings its own.
    """
    _finish_step[(len(rows),)](rows, first, drawn, requests.computed, requests.last_token, num_warps=1)


@triton.jit
def _build_inputs(
    rows,
    first,
    prompt_tokens,
    tables,
    computed,
    last_tokens,
    temperatures,
    top_ks,
    top_ps,
    seeds,
    tokens,
    positions,
    slots,
    lengths,
    sampled,
    row_temperatures,
    row_top_ks,
    row_top_ps,
    row_seeds,
    row_positions,
    table_stride,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
):
    """One chunk."""
    chunk = tl.program_id(0)
    row = tl.load(rows + chunk)
    real = row >= 0
    begin, end = tl.load(first + chunk), tl.load(first + chunk + 1)
    start = tl.load(computed + row, mask=real, other=0)
    last_token = tl.load(last_tokens + row, mask=real, other=0)
    length = tl.where(real, start + end - begin, 0)
    tl.store(lengths + chunk, length)
    tl.store(sampled + chunk, tl.maximum(end - 1, 0).to(tl.int64))
    tl.store(row_temperatures + chunk, tl.load(temperatures + row, mask=real, other=0.0))
    tl.store(row_top_ks + chunk, tl.load(top_ks + row, mask=real, other=0))
    tl.store(row_top_ps + chunk, tl.load(top_ps + row, mask=real, other=1.0))
    tl.store(row_seeds + chunk, tl.load(seeds + row, mask=real, other=0))
    tl.store(row_positions + chunk, tl.maximum(length - 1, 0).to(tl.int64))
    for done in range(begin, end, TILE):
        places = done + tl.arange(0, TILE)
        inside = places < end
        token = tl.load(prompt_tokens + places, mask=inside & real, other=0)
        position = tl.where(real, start + places - begin, 0)
        to_block = row.to(tl.int64) * table_stride + position // BLOCK_SIZE
        block = tl.load(tables + to_block, mask=inside & real, other=0).to(tl.int64)
        slot = tl.where(real, block * BLOCK_SIZE + position % BLOCK_SIZE, 0)
        tl.store(tokens + places, tl.where(token < 0, last_token, token), mask=inside)
        tl.store(positions + places, position.to(tl.int64), mask=inside)
        tl.store(slots + places, slot, mask=inside)


@triton.jit
def _finish_step(rows, first, drawn, computed, last_tokens):
    chunk = tl.program_id(0)
    row = tl.load(rows + chunk)
    if row >= 0:
        count = tl.load(first + chunk + 1) - tl.load(first + chunk)
        tl.store(computed + row, tl.load(computed + row) + count)
        tl.store(last_tokens + row, tl.load(drawn + chunk))
