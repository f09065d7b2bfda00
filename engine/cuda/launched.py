"""A step on its way: what some of its requests ask for beyond the draw of the step itself, and reading it back."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from engine import sampler
from engine.cuda.frame import Slots
from engine.cuda.graphs import Computed
from engine.cuda.operations import TRITON
from engine.cuda.rows import on_device
from engine.model import Decoder
from engine.parallel import Group
from engine.sampler import Drawing, Drawn, Draws, PromptScores
from engine.scheduler import Chunk, Step
from kernels.inputs import RequestRows
from kernels.reference import LogitEdits, SamplingRows


class CudaLaunched:
    """A launched step. Its tokens are copied to pinned memory behind it, so that nobody waits before `read`."""

    def __init__(
        self, step: Step, drawn: Tensor, counting: Sequence[int], drawing: Drawing | None, group: Group
    ) -> None:
        """`drawn` from each of the step's lists, of which some are `counting`: other prompts go on."""
        self.step = step
        self.tokens: Tensor | None = None  # once read
        self._counting = torch.tensor(counting, dtype=torch.int64)
        self._drawing = drawing
        self._group = group
        self._drawn = drawn.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if drawn.is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    def read(self) -> Drawn:
        """Wait for the step; call it in the order of launches, once each."""
        if self._arrived is not None:
            self._group.wait_for(self._arrived)
        self.tokens = self._drawn[self._counting]
        if self._drawing is None:
            return Drawn(self.tokens)
        scored = self._drawing.read()
        return Drawn(self.tokens, scored.logprobs, scored.prompt_logprobs)


class Placed(NamedTuple):
    """A chunk and its device row, and which of the step's lists and tokens are its own."""

    chunk: Chunk
    row: int
    list: int
    token: int


def placed(chunks: Sequence[Chunk], rows: Sequence[int], slots: Slots, decodes: int) -> list[Placed]:
    """Where a step's chunks lie in its slots, the first `decodes` of which are decodes."""
    padding = slots.decodes - decodes
    tokens = accumulate((chunk.count for chunk in chunks), initial=0)
    return [
        Placed(chunk, row, number, token) if number < decodes else Placed(chunk, row, number + padding, token + padding)
        for number, (chunk, row, token) in enumerate(zip(chunks, rows, tokens, strict=False))
    ]


def redraw(decoder: Decoder, step: Sequence[Placed], computed: Computed, requests: RequestRows) -> Drawing | None:
    """Draw once more for requests whose logits are to be edited or scored first, and score prompts.

    The draws take the places of the step's own, here and in what the device remembers. None where nobody asked.
    """
    special = [one for one in step if one.chunk.samples and _asks_for_more(one.chunk)]
    scores = [score for one in step for score in PromptScores.of(one.chunk, one.token)]
    if not special and not scores:
        return None
    place = computed.tokens.device
    hidden = computed.last if computed.hidden is None else computed.hidden  # a replayed step scores no prompts
    lists = on_device(torch.tensor([one.list for one in special], dtype=torch.int64), place)
    rows = on_device(torch.tensor([one.row for one in special], dtype=torch.int64), place)
    draws = draws_on_device([one.chunk for one in special], place)
    last = computed.last[lists]

    def head(states: Tensor) -> Tensor:
        """Other ranks take part in scoring prompts. They don't know of these draws, whose logits were kept for it."""
        return decoder.logits(states) if states is not last or computed.logits is None else computed.logits[lists]

    drawing = sampler.draw(head, last, draws, hidden, scores, TRITON)
    computed.tokens.index_copy_(0, lists, drawing.tokens)
    requests.last_token.index_copy_(0, rows, drawing.tokens)
    return drawing.leaving()


def _asks_for_more(chunk: Chunk) -> bool:
    return chunk.request.edits_logits or sampler.asks(chunk.request)


def draws_on_device(chunks: Sequence[Chunk], place: torch.device) -> Draws:
    move = partial(on_device, place=place)
    draws = Draws.of(chunks)
    return Draws(
        draws.requests,
        None if draws.rows is None else _rows_on_device(draws.rows, move),
        None if draws.edits is None else _edits_on_device(draws.edits, move),
        None if draws.asking is None else move(draws.asking),
    )


def _rows_on_device(rows: SamplingRows, move: Callable[[Tensor], Tensor]) -> SamplingRows:
    return SamplingRows(*map(move, (rows.temperature, rows.top_k, rows.top_p, rows.seed, rows.position)))


def _edits_on_device(edits: LogitEdits, move: Callable[[Tensor], Tensor]) -> LogitEdits:
    return LogitEdits(
        bias=tuple(map(move, edits.bias)),
        penalties=tuple(map(move, edits.penalties)),
        forbidden=tuple(map(move, edits.forbidden)),
        masked=move(edits.masked),
        allowed=None if edits.allowed is None else move(edits.allowed),
        min_p=tuple(map(move, edits.min_p)),
    )
