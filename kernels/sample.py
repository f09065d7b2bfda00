"""Drawing tokens, and log probabilities, without sorting or copying the logits: a program a row.

Top-k and top-p both keep the scores from some threshold on. It is found a digit of four bits at a time, over the
floats' bits mapped to integers of the same order, so it is exact and takes eight passes at most. Rows that ask for
neither take none, and greedy rows stop after the first look at their logits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.reference import SamplingRows

TILE = 1024
WARPS = 8


def sample(logits: Tensor, rows: SamplingRows | None) -> Tensor:
    """Draw one token a row; equals `kernels.reference.sample` with the same seeds and positions.

    Args:
        logits: `[S, V]`, rows contiguous; float32, float16 or bfloat16.
        rows: parameters `[S]`, contiguous: temperature and top_p float32; top_k, seed and position int64. None is
            greedy for all. Scores that tie with the least one kept are kept.

    Returns:
        Token ids, int64 `[S]`.
    """
    count, vocabulary = logits.shape
    tokens = torch.empty(count, dtype=torch.int64, device=logits.device)
    parameters: tuple[Tensor | None, ...] = (None,) * 5
    if rows is not None:
        parameters = (rows.temperature, rows.top_k, rows.top_p, rows.seed, rows.position)
    _sample[(count,)](logits, tokens, *parameters, vocabulary, logits.stride(0), TILE=TILE, num_warps=WARPS)
    return tokens


def logprobs(logits: Tensor, tokens: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log probabilities of `tokens [S]` int64 and of the `count` likeliest, from `logits [S, V]` as in `sample`.

    Returns:
        Of the tokens, float32 `[S]`; ids of the likeliest, int64 `[S, count]`, and theirs, float32 `[S, count]`, in
        descending order. Of equal ones the lower id comes first.
    """
    rows, vocabulary = logits.shape
    chosen = torch.empty(rows, dtype=torch.float32, device=logits.device)
    top = torch.empty((rows, count), dtype=torch.float32, device=logits.device)
    ids = torch.empty((rows, count), dtype=torch.int64, device=logits.device)
    _logprobs[(rows,)](
        logits, tokens, chosen, ids, top, vocabulary, logits.stride(0), count, TILE=TILE, num_warps=WARPS
    )
    return chosen, ids, top


@triton.jit
def _best(row, vocabulary, below, after, TILE: tl.constexpr):
    """The greatest logit and its id, the lowest of equals, of those under (`below`, `after`) in that order."""
    best = float("-inf")
    token = vocabulary
    for first in range(0, vocabulary, TILE):
        ids = first + tl.arange(0, TILE)
        logits = tl.load(row + ids, mask=ids < vocabulary, other=float("-inf")).to(tl.float32)
        follows = (logits < below) | ((logits == below) & (ids > after))
        logits = tl.where(follows, logits, float("-inf"))
        value, place = tl.max(logits, 0, return_indices=True)
        token = tl.where(value > best, first + place, token)
        best = tl.maximum(best, value)
    return best, token


@triton.jit
def _key(logits):
    """Floats as unsigned integers of the same order."""
    bits = logits.to(tl.uint32, bitcast=True)
    return tl.where(bits >> 31 == 1, bits ^ 0xFFFFFFFF, bits | 0x80000000)


@triton.jit
def _weigh(keys, logits, floor, best, temperature, BY_PROBABILITY: tl.constexpr):
    """What each logit counts for: 1, or its share of the greatest one's probability; nothing below `floor`."""
    weights = tl.exp((logits - best) / temperature) if BY_PROBABILITY else tl.full(logits.shape, 1.0, tl.float32)
    return tl.where(keys >= floor, weights, 0.0)


@triton.jit
def _threshold(row, vocabulary, floor, best, temperature, wanted, BY_PROBABILITY: tl.constexpr, TILE: tl.constexpr):
    """The greatest key from which on logits weigh `wanted` or more; those with keys under `floor` weigh nothing."""
    found = tl.zeros([1], tl.uint32)
    for shift in range(28, -1, -4):
        candidates = found + (tl.arange(0, 16).to(tl.uint32) << shift)
        totals = tl.zeros([16], tl.float32)
        for first in range(0, vocabulary, TILE):
            ids = first + tl.arange(0, TILE)
            logits = tl.load(row + ids, mask=ids < vocabulary, other=float("-inf")).to(tl.float32)
            keys = _key(logits)
            weights = _weigh(keys, logits, floor, best, temperature, BY_PROBABILITY)
            weights = tl.where(ids < vocabulary, weights, 0.0)
            totals += tl.sum(tl.where(keys[:, None] >= candidates[None, :], weights[:, None], 0.0), 0)
        digit = tl.maximum(tl.sum((totals >= wanted).to(tl.int32), 0) - 1, 0)
        found += digit.to(tl.uint32) << shift
    return tl.max(found, 0)


@triton.jit
def _total(row, vocabulary, floor, best, temperature, TILE: tl.constexpr):
    """The weight by probability of all logits with keys from `floor` on."""
    total = 0.0
    for first in range(0, vocabulary, TILE):
        ids = first + tl.arange(0, TILE)
        logits = tl.load(row + ids, mask=ids < vocabulary, other=float("-inf")).to(tl.float32)
        total += tl.sum(_weigh(_key(logits), logits, floor, best, temperature, True), 0)
    return total


@triton.jit
def _mix(value):
    """murmur3's finalizer."""
    value = (value ^ (value >> 16)) * 0x85EBCA6B
    value = (value ^ (value >> 13)) * 0xC2B2AE35
    return value ^ (value >> 16)


@triton.jit
def _draw(row, vocabulary, least, temperature, seed, position, TILE: tl.constexpr):
    """Gumbel-max over logits with keys from `least` on; the noise is `kernels.reference.hashed_uniform`."""
    low, high = seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    stream = _mix(_mix(low ^ _mix(high + 0x9E3779B9)) ^ (position.to(tl.uint32) * 0x85EBCA6B))
    best = float("-inf")
    token = 0
    for first in range(0, vocabulary, TILE):
        ids = first + tl.arange(0, TILE)
        logits = tl.load(row + ids, mask=ids < vocabulary, other=float("-inf")).to(tl.float32)
        bits = _mix(stream ^ _mix((ids + 1).to(tl.uint32)))
        noise = ((bits >> 9).to(tl.float32) + 0.5) * 1.1920928955078125e-07  # 2**-23
        scores = tl.div_rn(logits, temperature) - tl.log(-tl.log(noise))
        scores = tl.where((_key(logits) >= least) & (ids < vocabulary), scores, float("-inf"))
        score, place = tl.max(scores, 0, return_indices=True)
        token = tl.where(score > best, first + place, token)
        best = tl.maximum(best, score)
    return token


@triton.jit
def _sample(logits, tokens, temperatures, top_ks, top_ps, seeds, positions, vocabulary, stride, TILE: tl.constexpr):
    index = tl.program_id(0)
    row = logits + index.to(tl.int64) * stride
    best, token = _best(row, vocabulary, float("inf"), 0, TILE)
    if temperatures is not None:
        temperature = tl.load(temperatures + index)
        if temperature > 0:
            temperature = tl.maximum(temperature, 1e-6)
            top_k, top_p = tl.load(top_ks + index).to(tl.int32), tl.load(top_ps + index)
            least = tl.zeros([], tl.uint32)
            if (top_k > 0) & (top_k < vocabulary):
                least = _threshold(row, vocabulary, least, best, temperature, top_k, False, TILE)
            if top_p < 1:
                wanted = top_p * _total(row, vocabulary, least, best, temperature, TILE)
                least = _threshold(row, vocabulary, least, best, temperature, wanted, True, TILE)
            seed, position = tl.load(seeds + index), tl.load(positions + index)
            token = _draw(row, vocabulary, least, temperature, seed, position, TILE)
    tl.store(tokens + index, token.to(tl.int64))


@triton.jit
def _logprobs(logits, tokens, chosen, ids, top, vocabulary, stride, count, TILE: tl.constexpr):
    index = tl.program_id(0).to(tl.int64)
    row = logits + index * stride
    best, token = _best(row, vocabulary, float("inf"), 0, TILE)
    size = best + tl.log(_total(row, vocabulary, tl.zeros([], tl.uint32), best, 1.0, TILE))
    tl.store(chosen + index, tl.load(row + tl.load(tokens + index)).to(tl.float32) - size)
    for rank in range(count):
        tl.store(ids + index * count + rank, token.to(tl.int64))
        tl.store(top + index * count + rank, best - size)
        best, token = _best(row, vocabulary, best, token, TILE)
