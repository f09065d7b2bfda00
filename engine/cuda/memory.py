"""GPU memory: what a largest step leaves, and plain words where there is too little."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from engine.errors import InputError

KV_SHARE_OF_WHAT_IS_LEFT = 0.9  # the rest is for captured graphs and the allocator's gaps


def left_by(largest_step: Callable[[], object], place: torch.device) -> int:
    """Run the largest step there is; returns the bytes that are free beside it, whoever else uses the GPU."""
    torch.cuda.synchronize(place)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    largest_step()
    torch.cuda.synchronize(place)
    taken = torch.cuda.max_memory_allocated(place) - before
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(place)
    return max(0, free - taken)


@contextlib.contextmanager
def room_for(what: str, advice: str) -> Iterator[None]:
    """Say in one line what did not fit, while the engine starts."""
    try:
        yield
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info()
        raise InputError(
            f"not enough GPU memory for {what}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free; {advice}"
        ) from None
