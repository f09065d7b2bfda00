"""Steps captured as CUDA graphs: decodes of any number, and small steps with prompt chunks, in buckets."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from engine.cuda.frame import Frame, Slots, aligned

log = logging.getLogger(__name__)

# Longer prompt chunks keep a GPU busy for longer than it takes to launch their kernels one by one.
PROMPT_TOKENS = (64, 256, 1024)
PROMPT_CHUNKS = 8  # with the one that pads


class Computed(NamedTuple):
    """What a step leaves on the device. `hidden [T, N]` is None after a replay."""

    tokens: Tensor  # [lists] drawn
    last: Tensor  # [lists, N] the hidden states that they were drawn from
    hidden: Tensor | None
    logits: Tensor | None = None  # [lists, V] on the first of several ranks


class Captured(NamedTuple):
    frame: Frame
    replay: Callable[[], Computed]


def buckets(rows: int, token_budget: int) -> Iterator[Slots]:
    """Every bucket for up to `rows` requests, small ones first; a step never needs an eighth more than it has."""
    sizes = list(_decode_sizes(rows))
    for size in sizes:
        yield Slots(size, 0, size)
    for tokens in PROMPT_TOKENS:
        if tokens <= token_budget:
            for size in dict.fromkeys([aligned(min(sizes[-1], most)) for most in (8, 64)] + [aligned(sizes[-1])]):
                yield Slots(size, PROMPT_CHUNKS, size + tokens)


def _decode_sizes(rows: int) -> Iterator[int]:
    """1, 2, 4, 8, 16, … 64, 72, … 128, 144, … up to the first that holds all rows."""
    size = 1
    while size < rows:
        yield size
        size += size if size < 8 else max(8, (1 << size.bit_length() - 1) // 8)
    yield size


class Graphs:
    """Captured once, at start, from large to small in one pool of memory, since they never run at the same time.

    Where memory runs out the next smaller one is tried; any other failure would be theirs, too, and ends it. `failure`
    tells the last of them; what was not captured runs kernel by kernel.
    """

    def __init__(
        self,
        wanted: list[Slots],
        frame: Callable[[Slots], Frame],
        compute: Callable[[Frame], Computed],
        place: torch.device,
        *,
        alone: bool = True,
    ) -> None:
        """Ranks that are not `alone` need the same graphs, so that for them a failed capture is an error."""
        on_gpu = place.type == "cuda"
        self.failure: str | None = None
        self._captured: list[Captured] = []  # small ones first
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None
        self._beside = torch.cuda.Stream() if on_gpu else None  # one for all: cuBLAS keeps memory for each stream
        for slots in sorted(wanted, key=lambda slots: slots.tokens, reverse=True):
            try:
                self._captured.insert(0, self._capture(frame(slots), compute))
            except RuntimeError as error:
                if not alone:
                    raise
                self.failure = f"{slots.decodes} decodes, {slots.tokens} tokens: {str(error).partition(chr(10))[0]}"
                log.warning("a CUDA graph was not captured (%s); such steps run kernel by kernel", self.failure)
                if not _out_of_memory(error):
                    break

    def __len__(self) -> int:
        return len(self._captured)

    def find(self, decodes: int, chunks: int, tokens: int) -> Captured | None:
        """The smallest that holds a step of so many decodes, and prompt chunks with so many tokens in all."""
        for captured in self._captured:
            if captured.frame.room.holds(decodes, chunks, tokens):
                return captured
        return None

    def _capture(self, frame: Frame, compute: Callable[[Frame], Computed]) -> Captured:
        beside = self._beside
        if beside is None:  # Triton's interpreter: the same step, padded as it would be captured
            return Captured(frame, lambda: compute(frame)._replace(hidden=None))
        before = torch.cuda.current_stream()
        beside.wait_stream(before)
        with torch.cuda.stream(beside):  # also brings `before` back when a capture fails
            compute(frame)  # compiles the kernels, and lets cuBLAS choose
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=beside, capture_error_mode="thread_local"):
                computed = compute(frame)._replace(hidden=None)
        before.wait_stream(beside)

        def replay() -> Computed:
            graph.replay()
            return computed

        return Captured(frame, replay)


def _out_of_memory(error: BaseException | None) -> bool:
    """Also where ending the capture failed for it in turn."""
    return error is not None and (isinstance(error, torch.OutOfMemoryError) or _out_of_memory(error.__context__))
