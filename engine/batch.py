"""A planned step as tensors: what to compute, where its KV goes, what each token may see, what to draw."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.config import SchedulerConfig
from engine.kv_cache import PADDING_BLOCK
from engine.request import Request
from engine.scheduler import Chunk, Step
from kernels import reference
from kernels.reference import DecodeGroup, PromptChunk, SamplingRows

# Decodes are attended to in groups, each padded to its longest context. A group costs as many extra calls a layer as
# reading about this many tokens.
GROUP_COST_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Batch:
    """T tokens in a row, the decodes (longest context first) before the prompt chunks; S of them are sampled."""

    tokens: Tensor  # [T] int64
    positions: Tensor  # [T] int64
    slots: Tensor  # [T] int64
    fresh: Tensor  # [N] blocks whose first slot is among them
    decodes: list[DecodeGroup]
    chunks: list[PromptChunk]
    sampled: Tensor  # [S] indices into T
    sampling: SamplingRows | None  # None when all are greedy


def build(step: Step, config: SchedulerConfig, window: int | None, dtype: torch.dtype) -> Batch:
    """Lay a step out. Reorders `step.decodes` (their order carries no meaning), so build before reading tokens back."""
    step.decodes.sort(key=lambda chunk: chunk.start, reverse=True)
    size = config.block_size
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    last: list[int] = []
    for chunk in step.chunks:
        span = range(chunk.start, chunk.start + chunk.count)
        tokens += chunk.request.tokens[span.start : span.stop]
        positions += span
        slots += _slots(chunk.request.blocks, span, size)
        if chunk.samples:
            last.append(len(tokens) - 1)
    return Batch(
        tokens=torch.tensor(tokens),
        positions=torch.tensor(positions),
        slots=torch.tensor(slots),
        fresh=torch.tensor([slot // size for slot in slots if slot % size == 0], dtype=torch.int64),
        decodes=_decode_groups(step.decodes, size, window, dtype),
        chunks=_prompt_chunks(step, config, window, dtype),
        sampled=torch.tensor(last, dtype=torch.int64),
        sampling=_sampling_rows([chunk.request for chunk in step.chunks if chunk.samples]),
    )


def _slots(blocks: Sequence[int], span: range, size: int) -> list[int]:
    return [blocks[position // size] * size + position % size for position in span]


def _decode_groups(decodes: list[Chunk], size: int, window: int | None, dtype: torch.dtype) -> list[DecodeGroup]:
    groups = []
    for first, last in itertools.pairwise(_group_bounds([chunk.start + 1 for chunk in decodes])):
        lengths = [chunk.start + 1 for chunk in decodes[first:last]]
        width = -(-lengths[0] // size)
        tables = [_padded(chunk.request.blocks, width) for chunk in decodes[first:last]]
        groups.append(reference.decode_group(first, torch.tensor(tables), torch.tensor(lengths), size, window, dtype))
    return groups


def _group_bounds(lengths: list[int]) -> list[int]:
    """Where to cut a descending list so that padding and groups together cost least: 0, …, its length.

    `cheapest[i]` is the cost of the first i, and `cut[i]` where the last group of those starts.
    """
    cheapest = [0.0]
    cut = [0]
    for last in range(1, len(lengths) + 1):
        costs = [cheapest[first] + (last - first) * lengths[first] + GROUP_COST_TOKENS for first in range(last)]
        cheapest.append(min(costs))
        cut.append(costs.index(cheapest[-1]))
    bounds = [len(lengths)]
    while bounds[-1]:
        bounds.append(cut[bounds[-1]])
    return bounds[::-1]


def _padded(blocks: list[int], width: int) -> list[int]:
    return blocks[:width] + [PADDING_BLOCK] * (width - len(blocks))


def _prompt_chunks(step: Step, config: SchedulerConfig, window: int | None, dtype: torch.dtype) -> list[PromptChunk]:
    chunks = []
    first = len(step.decodes)
    for chunk in step.prefills:
        table = torch.tensor(chunk.request.blocks[: config.blocks_for(chunk.start + chunk.count)])
        chunks.append(reference.prompt_chunk(first, table, chunk.start, chunk.count, window, dtype))
        first += chunk.count
    return chunks


def _sampling_rows(requests: list[Request]) -> SamplingRows | None:
    params = [request.params for request in requests]
    if all(p.temperature == 0 for p in params):
        return None
    return SamplingRows(
        temperature=torch.tensor([p.temperature for p in params]),
        top_k=torch.tensor([p.top_k for p in params]),
        top_p=torch.tensor([p.top_p for p in params]),
        seed=torch.tensor([p.seed for p in params]),
        position=torch.tensor([len(r.tokens) + r.in_flight - 1 for r in requests]),
    )
