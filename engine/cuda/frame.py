"""Where a step lies in device memory: sent in one copy from pinned memory, the rest of it made on the device."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.scheduler import Chunk
from kernels.attention import PagedRows
from kernels.decode import decode_attention
from kernels.inputs import RequestRows, StepInputs, build_inputs
from kernels.prefill import prefill_attention
from kernels.reference import SamplingRows

ALIGNED = 4  # int32 numbers in the 16 bytes for which Triton compiles its kernels
UNKNOWN = -1  # a token that the device drew and the host has not read


def aligned(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED


class Slots(NamedTuple):
    """A step's room: so many decodes, prompt chunks, and tokens, a decode's included.

        decodes, padding | chunks, padding                rows, and where each one's tokens begin
        one token each   | chunk after chunk, left over   tokens

    Padding writes to block 0. Left-over tokens belong to the first padding chunk, so there has to be one.
    """

    decodes: int
    chunks: int
    tokens: int

    @property
    def lists(self) -> int:
        return self.decodes + self.chunks

    def holds(self, decodes: int, chunks: int, tokens: int) -> bool:
        """Whether a step fits, with so many `tokens` in its chunks. Chunks have room beside a padding one only."""
        if not chunks:
            return decodes <= self.decodes and not self.chunks
        return decodes <= self.decodes and chunks < self.chunks and tokens <= self.tokens - self.decodes


class _Outbox:
    """One copy of the numbers that the host sends: int64 words of pinned memory, and what they hold."""

    def __init__(self, lists: int, words: int, place: torch.device) -> None:
        pinned = place.type == "cuda"
        self.memory = torch.zeros(words, dtype=torch.int64, pin_memory=pinned)
        words_32 = self.memory.view(torch.int32).numpy()
        self.rows = words_32[:lists]
        self.first = words_32[lists : 2 * lists + 1]
        self.tokens = self.memory.numpy()[lists + ALIGNED :]
        self._copied = torch.cuda.Event() if pinned else None

    def wait(self) -> None:
        """Until its last copy is done; it is two steps old, so that this takes no time."""
        if self._copied is not None:
            self._copied.synchronize()

    def send(self, target: Tensor, words: int) -> None:
        target[:words].copy_(self.memory[:words], non_blocking=True)
        if self._copied is not None:
            self._copied.record()


class StepMemory:
    """Device memory for steps of up to `lists` chunks, decodes included, and `tokens` tokens, one at a time.

    Two outboxes take turns, so that a step is written while the one before may still be on its way.
    `rotary_rows`, which the host sends as well, are the positions unless the model has LongRoPE.
    """

    def __init__(self, lists: int, tokens: int, longrope: bool, place: torch.device) -> None:
        lists, tokens = aligned(lists), aligned(tokens)
        self.header = lists + ALIGNED  # words before the tokens: rows and first, of half a word each
        words = self.header + tokens * (2 if longrope else 1)
        self.sent = torch.zeros(words, dtype=torch.int64, device=place)
        self.outboxes = [_Outbox(lists, words, place) for _ in range(2)]
        self.lists, self.tokens, self.longrope = lists, tokens, longrope
        whole = partial(torch.zeros, dtype=torch.int64, device=place)
        real = partial(torch.zeros, dtype=torch.float32, device=place)
        self.inputs = StepInputs(
            tokens=whole(tokens),
            positions=whole(tokens),
            slots=whole(tokens),
            lengths=torch.zeros(lists, dtype=torch.int32, device=place),
            sampled=whole(lists),
            sampling=SamplingRows(real(lists), whole(lists), real(lists), whole(lists), whole(lists)),
        )

    def send(self, room: Slots, decodes: int, rows: list[int], chunks: Sequence[Chunk], rotary_rows: list[int]) -> None:
        """Send a step of `chunks`, the first `decodes` of which are such, on `rows`; `rotary_rows` of their tokens."""
        box = self.outboxes.pop(0)
        self.outboxes.append(box)
        box.wait()
        counts = [chunk.count for chunk in chunks[decodes:]]
        ends = room.decodes + np.cumsum(counts, dtype=np.int32)
        used = room.decodes + len(counts)
        box.rows[: room.lists] = -1
        box.rows[:decodes] = rows[:decodes]
        box.rows[room.decodes : used] = rows[decodes:]
        box.first[: room.decodes + 1] = np.arange(room.decodes + 1)
        box.first[room.decodes + 1 : used + 1] = ends
        box.first[used + 1 : room.lists + 1] = room.tokens
        prompts = slice(room.decodes, room.decodes + sum(counts))
        box.tokens[:decodes] = [token for chunk in chunks[:decodes] for token in _tokens(chunk)]
        box.tokens[prompts] = [token for chunk in chunks[decodes:] for token in _tokens(chunk)]
        if self.longrope:
            turned = box.tokens[self.tokens :]
            turned[: room.tokens] = 0
            turned[:decodes] = rotary_rows[:decodes]
            turned[prompts] = rotary_rows[decodes:]
        box.send(self.sent, len(self.sent) if self.longrope else self.header + room.tokens)


def _tokens(chunk: Chunk) -> list[int]:
    known = chunk.request.tokens[chunk.start : chunk.start + chunk.count]
    return known if len(known) == chunk.count else [*known, UNKNOWN]


class Frame:
    """A step of certain slots in the memory of all steps, as the decoder reads it (`engine.operations.Inputs`)."""

    def __init__(self, room: Slots, memory: StepMemory, requests: RequestRows, block_size: int) -> None:
        lists, tokens, inputs = room.lists, room.tokens, memory.inputs
        words_32 = memory.sent.view(torch.int32)
        self.room = room
        self.requests = requests
        self.rows = words_32[:lists]
        self.first = words_32[memory.lists : memory.lists + lists + 1]
        self.sent_tokens = memory.sent[memory.header : memory.header + tokens]
        self.inputs = inputs
        self.tokens = inputs.tokens[:tokens]
        self.slots = inputs.slots[:tokens]
        turned = memory.sent[memory.header + memory.tokens :] if memory.longrope else inputs.positions
        self.rotary_rows = turned[:tokens]
        self.sampled = inputs.sampled[:lists]
        sampling = inputs.sampling
        self.sampling = SamplingRows(
            sampling.temperature[:lists],
            sampling.top_k[:lists],
            sampling.top_p[:lists],
            sampling.seed[:lists],
            sampling.position[:lists],
        )
        self._block_size = block_size
        self._decodes = self._part(0, room.decodes)
        self._chunks = self._part(room.decodes, lists)

    def build(self) -> None:
        """Make the step's inputs from what was sent and what the device remembers."""
        build_inputs(self.requests, self.rows, self.first, self.sent_tokens, self._block_size, self.inputs)

    def attend(self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None) -> Tensor:
        out = torch.zeros_like(queries) if self.room.chunks else torch.empty_like(queries)  # padding is left alone
        if self.room.decodes:
            decode_attention(queries, cache, self._decodes, scale, out, cap, window=window)
        if self.room.chunks:
            prefill_attention(queries, cache, self._chunks, scale, out, cap, window=window)
        return out

    def _part(self, begin: int, end: int) -> PagedRows:
        lengths = self.inputs.lengths[begin:end]
        return PagedRows(self.rows[begin:end], self.first[begin : end + 1], lengths, self.requests.tables)
