"""A planned step as tensors: what to compute, where its KV goes, what each token may see, what to draw."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import torch
from torch import Tensor

from engine.config import ModelShape, SchedulerConfig
from engine.kv_cache import PADDING_BLOCK
from engine.sampler import Draws, PromptScores
from engine.scheduler import Chunk, Step
from kernels import reference
from kernels.native import operations as native
from kernels.reference import DecodeGroup, PromptChunk

# Decodes are attended to in groups, each padded to its longest context. A group costs as many extra calls a layer as
# reading about this many tokens.
GROUP_COST_TOKENS = 400


class Decodes(Protocol):
    """The decodes of a step, which are the first tokens of its batch."""

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        """Fill the decodes' rows of `out [T, H, D]`."""


@dataclass(frozen=True, slots=True)
class GroupedDecodes:
    """Groups of similar context length, by sliding window; None is full attention."""

    by_window: dict[int | None, list[DecodeGroup]]

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        reference.decode_attention(queries, cache, self.by_window[window], scale, out, cap)


@dataclass(frozen=True, slots=True)
class TabledDecodes:
    """Block tables `[B, W]` int32 and context lengths `[B]` int64."""

    tables: Tensor
    lengths: Tensor

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        native.decode_attention(queries, cache, self.tables, self.lengths, window, scale, out, cap)


class Prompts(Protocol):
    """The prompt chunks of a step, whose tokens come after the decodes."""

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        """Fill the chunks' rows of `out [T, H, D]`."""


@dataclass(frozen=True, slots=True)
class MaskedPrompts:
    """Chunks with a mask each, by sliding window; None is full attention."""

    by_window: dict[int | None, list[PromptChunk]]

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        reference.prefill_attention(queries, cache, self.by_window[window], scale, out, cap)


@dataclass(frozen=True, slots=True)
class TabledPrompts:
    """Block tables `[C, W]` int32; first row, first position and tokens `[C, 3]` int64."""

    tables: Tensor
    chunks: Tensor

    def attend(
        self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None, out: Tensor
    ) -> None:
        native.prefill_attention(queries, cache, self.tables, self.chunks, window, scale, out, cap)


@dataclass(frozen=True, slots=True)
class Batch:
    """T tokens in a row, the decodes (longest context first) before the prompt chunks; S of them are sampled."""

    tokens: Tensor  # [T] int64
    rotary_rows: Tensor  # [T] int64, rows of the rotary tables: the positions, except for LongRoPE
    slots: Tensor  # [T] int64
    fresh: Tensor  # [N] blocks whose first slot is among them
    decodes: Decodes | None
    prompts: Prompts | None
    sampled: Tensor  # [S] indices into T
    draws: Draws
    scores: list[PromptScores]
    unknown: Tensor  # [U] indices into T of tokens that the step before is still to bring
    unknown_from: Tensor  # [U] and which of its draws they are

    def attend(self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None) -> Tensor:
        """As `engine.operations.Inputs` asks for it."""
        out = torch.empty_like(queries)
        if self.decodes is not None:
            self.decodes.attend(queries, cache, window, scale, cap, out)
        if self.prompts is not None:
            self.prompts.attend(queries, cache, window, scale, cap, out)
        return out


def build(
    step: Step,
    config: SchedulerConfig,
    shape: ModelShape,
    dtype: torch.dtype,
    before: Step | None = None,
    *,
    native: bool = False,
) -> Batch:
    """Lay a step out, before its tokens are read back; `before` is the launched step whose tokens are not read yet.

    `native` lays attention out for `kernels.native`.

    Changes the step: decodes are reordered (their order carries no meaning), and one that outgrows LongRoPE's
    original length becomes a prompt chunk of the whole sequence.
    """
    if shape.longrope_length is not None:
        restart_outgrown(step, shape.longrope_length)
    step.decodes.sort(key=itemgetter(1), reverse=True)
    all_chunks = step.chunks
    decodes = all_chunks[: len(step.decodes)]
    size = config.block_size
    tokens: list[int] = []
    rotary_rows: list[int] = []
    slots: list[int] = []
    last: list[int] = []
    scores: list[PromptScores] = []
    unknown: list[tuple[int, int]] = []
    order = {} if before is None else {request: number for number, request in enumerate(before.sampled)}
    for chunk in all_chunks:
        span = range(chunk.start, chunk.start + chunk.count)
        scores += PromptScores.of(chunk, first=len(tokens))
        known = chunk.request.tokens[span.start : span.stop]
        tokens += known
        if len(known) < chunk.count:
            unknown.append((len(tokens), order[chunk.request]))
            tokens.append(0)
        rotary_rows += rotary_rows_of(chunk, span, shape.longrope_length)
        slots += _slots(chunk.request.blocks, span, size)
        if chunk.samples:
            last.append(len(tokens) - 1)
    windows = set(shape.windows)
    return Batch(
        tokens=torch.tensor(tokens),
        rotary_rows=torch.tensor(rotary_rows),
        slots=torch.tensor(slots),
        fresh=torch.tensor([slot // size for slot in slots if slot % size == 0], dtype=torch.int64),
        decodes=_decodes(decodes, size, windows, dtype, native) if decodes else None,
        prompts=_prompts(step, size, windows, dtype, native) if step.prefills else None,
        sampled=torch.tensor(last, dtype=torch.int64),
        draws=Draws.of([chunk for chunk in all_chunks if chunk.samples]),
        scores=scores,
        unknown=torch.tensor([place for place, _ in unknown], dtype=torch.int64),
        unknown_from=torch.tensor([number for _, number in unknown], dtype=torch.int64),
    )


def restart_outgrown(step: Step, original: int) -> None:
    """A sequence longer than LongRoPE's original length has other angles everywhere: compute all of it again.

    Its blocks are its own, since such models are served without a prefix cache (`engine.runner.resolve`).
    """
    outgrown = [request for request, position in step.decodes if position == original]
    step.decodes = [decode for decode in step.decodes if decode[1] != original]
    step.prefills += [Chunk(request, 0, original + 1, samples=True) for request in outgrown]


def rotary_rows_of(chunk: Chunk, span: range, longrope_length: int | None) -> range:
    """Positions, or for LongRoPE rows of a table whose first `longrope_length` rows serve short sequences."""
    if longrope_length is None:
        return span
    length = span.stop if chunk.samples else chunk.request.planned
    shift = longrope_length if length > longrope_length else 0
    return range(span.start + shift, span.stop + shift)


def _slots(blocks: Sequence[int], span: range, size: int) -> list[int]:
    return [blocks[position // size] * size + position % size for position in span]


def _decodes(decodes: list[Chunk], size: int, windows: set[int | None], dtype: torch.dtype, native: bool) -> Decodes:
    return _tabled(decodes) if native else _grouped(decodes, size, windows, dtype)


def _prompts(step: Step, size: int, windows: set[int | None], dtype: torch.dtype, native: bool) -> Prompts:
    return _tabled_prompts(step) if native else _masked_prompts(step, size, windows, dtype)


def _tabled(decodes: list[Chunk]) -> TabledDecodes:
    return TabledDecodes(_tables(decodes), torch.tensor([chunk.start + 1 for chunk in decodes], dtype=torch.int64))


def _tabled_prompts(step: Step) -> TabledPrompts:
    chunks = []
    first = len(step.decodes)
    for chunk in step.prefills:
        chunks.append((first, chunk.start, chunk.count))
        first += chunk.count
    return TabledPrompts(_tables(step.prefills), torch.tensor(chunks, dtype=torch.int64))


def _tables(chunks: list[Chunk]) -> Tensor:
    width = max(len(chunk.request.blocks) for chunk in chunks)
    return torch.tensor([_padded(chunk.request.blocks, width) for chunk in chunks], dtype=torch.int32)


def _grouped(decodes: list[Chunk], size: int, windows: set[int | None], dtype: torch.dtype) -> GroupedDecodes:
    return GroupedDecodes({window: _decode_groups(decodes, size, window, dtype) for window in windows})


def _decode_groups(decodes: list[Chunk], size: int, window: int | None, dtype: torch.dtype) -> list[DecodeGroup]:
    groups = []
    seen = [chunk.start + 1 if window is None else min(chunk.start + 1, window) for chunk in decodes]
    for first, last in itertools.pairwise(_group_bounds(seen)):
        skipped = [_blocks_out_of_sight(chunk, size, window) for chunk in decodes[first:last]]
        lengths = [chunk.start + 1 - skip * size for chunk, skip in zip(decodes[first:last], skipped, strict=True)]
        width = -(-max(lengths) // size)
        tables = [
            _padded(chunk.request.blocks[skip:], width)
            for chunk, skip in zip(decodes[first:last], skipped, strict=True)
        ]
        groups.append(reference.decode_group(first, torch.tensor(tables), torch.tensor(lengths), size, window, dtype))
    return groups


def _blocks_out_of_sight(chunk: Chunk, size: int, window: int | None) -> int:
    """Leading blocks that no token of the chunk sees. Attention is told of the rest only; distances stay the same."""
    return 0 if window is None else max(0, chunk.start + 1 - window) // size


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


def _masked_prompts(step: Step, size: int, windows: set[int | None], dtype: torch.dtype) -> MaskedPrompts:
    return MaskedPrompts({window: _prompt_chunks(step, size, window, dtype) for window in windows})


def _prompt_chunks(step: Step, size: int, window: int | None, dtype: torch.dtype) -> list[PromptChunk]:
    chunks = []
    first = len(step.decodes)
    for chunk in step.prefills:
        skip = _blocks_out_of_sight(chunk, size, window)
        table = torch.tensor(chunk.request.blocks[skip : -(-(chunk.start + chunk.count) // size)])
        chunks.append(reference.prompt_chunk(first, table, chunk.start - skip * size, chunk.count, window, dtype))
        first += chunk.count
    return chunks
