"""`python -m engine.rank`: another rank of a tensor-parallel engine, which `engine.parallel` starts and speaks to.

    in    {"folder", "config" or "options", "rank", "ranks", "threads", "store"}
                                                               first: what to load, and where the ranks meet
          meet                                                 when all have loaded
          {…}                                                  a line for each step (engine.mirror)
    out   {"ready": …} · {"refused": why} · {"failed": why}    at most one of the last two, and nothing after it

It ends when its standard input closes, whatever it is doing, and so never outlives the engine.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Any, NoReturn

import torch

from engine.backend import Backend, Underway
from engine.config import EngineConfig, EngineOptions, SchedulerConfig
from engine.errors import InputError, RankFailed
from engine.mirror import Mirror
from engine.parallel import CPU, FORSAKEN, Group
from engine.runner import Runner
from engine.shard import Shard


class Follower(Group):
    """A rank that waits for the first to call it to the others."""

    def __init__(self, shard: Shard, store: Path, lines: "queue.SimpleQueue[str]", outbox: IO[str]) -> None:
        super().__init__(shard)
        self._store = store
        self._lines = lines
        self._outbox = outbox

    def meet(self, place: torch.device = CPU) -> None:
        say(self._outbox, ready="yes")
        self._lines.get()
        self.connect(self._store, place)


def follow(lines: "queue.SimpleQueue[str]", outbox: IO[str]) -> None:
    """Load a part of the model, then compute along, step by step."""
    start = json.loads(lines.get())
    torch.set_num_threads(start["threads"])
    group = Follower(Shard(start["rank"], start["ranks"]), Path(start["store"]), lines, outbox)
    runner = _runner(start, group)
    ahead = runner.config.device == "cuda" and runner.config.overlap
    mirror = Mirror()
    unread: list[Underway] = []
    while True:
        unread.append(runner.launch(mirror.step(lines.get())))
        if len(unread) > ahead:
            launched = unread.pop(0)
            mirror.accept(launched.step, launched.read().tokens.tolist())


def _runner(start: dict[str, Any], group: Group) -> Backend:
    folder = Path(start["folder"])
    if "config" in start:
        return Runner(folder, _config(start["config"]), group)
    from engine.cuda.runner import CudaRunner  # imports Triton

    return CudaRunner(folder, EngineOptions(**start["options"]), group)


def say(outbox: IO[str], **message: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        outbox.write(json.dumps(message) + "\n")
        outbox.flush()


def _config(told: dict[str, Any]) -> EngineConfig:
    return EngineConfig(**told | {"scheduler": SchedulerConfig(**told["scheduler"])})


def _listen(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # the engine is gone, or done with us


def main() -> NoReturn:
    """What else prints goes to standard error."""
    outbox = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    try:
        follow(lines, outbox)
    except InputError as error:
        say(outbox, refused=str(error))
    except RankFailed:
        os._exit(FORSAKEN)
    except Exception as error:
        say(outbox, failed=f"{type(error).__name__}: {error}")
    os._exit(1)  # at once: the other ranks wait for this one until its connections close


if __name__ == "__main__":
    main()
