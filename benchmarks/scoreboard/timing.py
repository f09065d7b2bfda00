"""Seconds that a piece of device work takes, launches left out."""

import statistics
import time
from collections.abc import Callable

import torch

REPLAYS = 5
GRAPH_S = 0.02  # what one captured graph should run for, so that its launch weighs little
MOST_IN_A_GRAPH = 200


def seconds(run: Callable[[], object], device: str) -> float:
    """Median of a few replays of a captured graph of runs; on a CPU, where times mean nothing, of one run.

    What `run` touches should outgrow the GPU's cache several times, or it is the cache that is timed.
    """
    if device == "cpu":
        return _elapsed(run)
    for _ in range(2):  # compiles, and sizes the workspaces
        run()
    torch.cuda.synchronize()
    count = max(1, min(MOST_IN_A_GRAPH, int(GRAPH_S / _until_done(run))))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            run()
    graph.replay()
    torch.cuda.synchronize()
    return statistics.median(_until_done(graph.replay) for _ in range(REPLAYS)) / count


def _until_done(run: Callable[[], object]) -> float:
    def whole() -> None:
        run()
        torch.cuda.synchronize()

    return _elapsed(whole)


def _elapsed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
