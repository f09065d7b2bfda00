"""What the device remembers of running requests, and telling it what has changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.request import Request, SamplingParams
from engine.scheduler import Chunk
from kernels.inputs import RequestRows


@dataclass(slots=True)
class _Row:
    """A request's row, and what the device will know of it when all launched steps are done."""

    number: int
    blocks: list[int] = field(default_factory=list)
    computed: int = 0


class DeviceRows:
    """A row for each running request, kept as long as its row is not needed.

    The device counts for itself what it has computed and keeps the last token drawn. It is sent blocks as a request
    gets them, and the rest when a request takes a row or starts again after a preemption.
    """

    def __init__(self, rows: int, width: int, place: torch.device) -> None:
        """For `rows` requests of at most `width` blocks each."""
        whole, real = torch.zeros(rows, dtype=torch.int64, device=place), torch.zeros(rows, device=place)
        self.tensors = RequestRows(
            tables=torch.zeros(rows, width, dtype=torch.int32, device=place),
            computed=whole.int(),
            last_token=whole.clone(),
            temperature=real.clone(),
            top_k=whole.clone(),
            top_p=real.clone(),
            seed=whole.clone(),
        )
        self._width = width
        self._held: dict[Request, _Row] = {}
        self._free = list(range(rows))

    def of(self, chunks: Sequence[Chunk]) -> list[int]:
        """The row of each chunk's request, after sending what the device does not know; a request has one chunk."""
        sending = _Sending()
        rows = self._held_or_free(chunks, sending)
        for chunk, row in zip(chunks, rows, strict=True):
            if row.blocks is not chunk.request.blocks:
                sending.blocks(row, chunk.request.blocks, self._width)
            if row.computed != chunk.start:
                sending.starts.append((row.number, chunk.start))
            row.computed = chunk.start + chunk.count
        sending.send(self.tensors)
        return [row.number for row in rows]

    def _held_or_free(self, chunks: Sequence[Chunk], sending: "_Sending") -> list[_Row]:
        new = [chunk.request for chunk in chunks if chunk.request not in self._held]
        if len(new) > len(self._free):
            self._recall({chunk.request for chunk in chunks})
        for request in new:
            row = self._held[request] = _Row(self._free.pop(), computed=-1)
            sending.params.append((row.number, request.params))
        return [self._held[chunk.request] for chunk in chunks]

    def _recall(self, kept: set[Request]) -> None:
        """Take back all other rows. A request that is left out of a step has had its last token read by its next one,
        so that nothing is lost but what is sent again."""
        for request in [request for request in self._held if request not in kept]:
            self._free.append(self._held.pop(request).number)


@dataclass(slots=True)
class _Sending:
    """Changes to rows on their way to the device. Steady decodes have none but a block now and then."""

    cells: list[tuple[int, int]] = field(default_factory=list)  # place in the tables, block
    starts: list[tuple[int, int]] = field(default_factory=list)  # row, tokens computed
    params: list[tuple[int, SamplingParams]] = field(default_factory=list)

    def blocks(self, row: _Row, blocks: list[int], width: int) -> None:
        """Lists of blocks are replaced when they change, and mostly grow."""
        known = len(row.blocks)
        first = known if blocks[:known] == row.blocks else 0
        start = row.number * width
        self.cells += [(start + first + number, block) for number, block in enumerate(blocks[first:])]
        row.blocks = blocks

    def send(self, rows: RequestRows) -> None:
        place = rows.tables.device
        if self.cells:
            places, blocks = on_device(torch.tensor(self.cells).T.contiguous(), place)
            rows.tables.view(-1).index_copy_(0, places, blocks.int())
        if self.starts:
            numbers, starts = on_device(torch.tensor(self.starts).T.contiguous(), place)
            rows.computed.index_copy_(0, numbers, starts.int())
        if self.params:
            self._send_params(rows, place)

    def _send_params(self, rows: RequestRows, place: torch.device) -> None:
        whole = [[number, params.top_k, params.seed] for number, params in self.params]
        real = [[params.temperature, params.top_p] for _, params in self.params]
        numbers, top_k, seed = on_device(torch.tensor(whole).T.contiguous(), place)
        temperature, top_p = on_device(torch.tensor(real, dtype=torch.float32).T.contiguous(), place)
        for column, values in (
            (rows.top_k, top_k),
            (rows.seed, seed),
            (rows.temperature, temperature),
            (rows.top_p, top_p),
        ):
            column.index_copy_(0, numbers, values)


def on_device(tensor: Tensor, place: torch.device) -> Tensor:
    """A copy that nobody waits for: torch keeps pinned memory until what was queued from it is done."""
    return tensor.pin_memory().to(place, non_blocking=True) if place.type == "cuda" else tensor
