"""Tensor parallelism: the ranks of one model, a process each, compute every step together.

    rank 0   the engine: plans, lays out, computes its part, draws     ── a line a step (engine.mirror) ──► rank 1, 2, …
    rank k   engine.rank: lays the same out, computes its part         ◄── hidden states, logits, tokens ──► all ranks

Tensors pass through a process group that belongs to the engine, found through a file in a folder of its own: no default
group, no fixed port, so that several engines live in one process. The others end when their standard input
closes, and so never outlive the engine.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch._C._distributed_c10d import FileStore

from engine.errors import InputError, RankFailed
from engine.mirror import Note, Teller
from engine.scheduler import Step
from engine.shard import WHOLE, Shard

LOOK_UP_EVERY = timedelta(seconds=1)  # from waiting for tensors, to see whether somebody is left to send them
STALLED = timedelta(minutes=5)  # a rank that is alive and says nothing for so long is taken for lost
LOOK_AT_EVENT_S = 50e-6
GRACE_S = 5.0
GONE_WITHIN_S = 1.0
FORSAKEN = 3  # what a rank exits with that has lost another one

CPU = torch.device("cpu")

P = ParamSpec("P")
R = TypeVar("R")


class Group:
    """What the ranks of a model tell each other; alone, nothing. Every rank calls the same, in the same order."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        self.shard = shard
        self._tensors: dist.ProcessGroup | None = None
        self._place = CPU

    @property
    def alone(self) -> bool:
        return self.shard.ranks == 1

    def meet(self, place: torch.device = CPU) -> None:
        """Wait until every rank has its weights, and connect, for tensors that lie in `place`."""

    def computing(self, step: Step, compute: Callable[P, R]) -> Callable[P, R]:
        """What computes a launched step on all ranks, made of what computes it on this one."""
        return compute

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Around what all ranks do: where it fails, others may wait for what won't come."""
        yield

    def sum(self, x: Tensor) -> Tensor:
        """Of the ranks' summands, in place."""
        if self._tensors is not None and x.numel():
            self._wait(self._tensors.allreduce([x]))
        return x

    def gather(self, x: Tensor, total: int) -> Tensor:
        """`[N, total]` from the ranks' `[N, …]`, of which all but the last ones are as wide as the first."""
        if self._tensors is None or not len(x):
            return x
        width = -(-total // self.shard.ranks)
        mine = F.pad(x, (0, width - x.shape[-1]))
        parts = [torch.empty_like(mine) for _ in range(self.shard.ranks)]
        self._wait(self._tensors.allgather([parts], [mine]))
        return torch.cat(parts, dim=-1)[:, :total]

    def share(self, tokens: Tensor) -> None:
        """Overwrite what this rank drew with what rank 0 drew: it alone knows how."""
        if self._tensors is not None and len(tokens):
            self._wait(self._tensors.broadcast(tokens, 0))

    def least(self, number: int) -> int:
        """The smallest of the ranks' numbers."""
        if self._tensors is None:
            return number
        told = torch.tensor([number], device=self._place)
        options = dist.AllreduceOptions()
        options.reduceOp = dist.ReduceOp(dist.ReduceOp.MIN)
        self._wait(self._tensors.allreduce([told], options))
        return int(told)

    def wait_for(self, arrived: torch.cuda.Event) -> None:
        """Until a GPU gets there: one that waits for a rank that has ended never does."""
        if self.alone:
            arrived.synchronize()
            return
        while not arrived.query():
            if self.ended():
                raise RankFailed("a rank has ended")
            time.sleep(LOOK_AT_EVENT_S)

    def close(self) -> None:
        """End the other ranks."""

    def ended(self) -> bool:
        """Whether another rank is known to have ended."""
        return False

    def _wait(self, work: dist.Work) -> None:
        """On a GPU it is the stream that waits, and this process goes on."""
        if self._place.type == "cuda":
            work.wait()
            return
        try:
            while not work.is_completed():
                with contextlib.suppress(RuntimeError):  # too early; what else is wrong is said below
                    work.wait(LOOK_UP_EVERY)
                if not work.is_completed() and self.ended():
                    raise RankFailed("a rank has ended")
            work.wait()
        except RuntimeError as error:
            raise RankFailed(f"a rank can't be reached any more ({error})") from None

    def connect(self, store: Path, place: torch.device) -> None:
        """The one place that chooses how tensors travel: by NCCL between GPUs, or by gloo on the loopback interface."""
        rank, ranks = self.shard.rank, self.shard.ranks
        files = FileStore(str(store), ranks)
        self._place = place
        self._tensors = dist.ProcessGroup(files, rank, ranks)
        if place.type == "cuda":
            backend, kind = _nccl(files, rank, ranks), dist.ProcessGroup.BackendType.NCCL
        else:
            backend, kind = _gloo(files, rank, ranks), dist.ProcessGroup.BackendType.GLOO
        self._tensors._register_backend(torch.device(place.type), kind, backend)
        self.least(0)  # until all have, some still look for others in the store


ALONE = Group()


def _gloo(files: FileStore, rank: int, ranks: int) -> Any:
    options: Any = vars(dist.ProcessGroupGloo)["_Options"]()  # which torch's type stubs call otherwise
    options._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
    options._timeout = STALLED
    return dist.ProcessGroupGloo(files, rank, ranks, options)


def _nccl(files: FileStore, rank: int, ranks: int) -> Any:
    """Its sums can be captured in CUDA graphs. torch for CPUs lacks it."""
    nccl: Any = vars(dist)["ProcessGroupNCCL"]
    options = nccl.Options()
    options._timeout = STALLED
    return nccl(files, rank, ranks, options)


class Lead(Group):
    """Rank 0 of several: starts the others, tells them its steps, and says clearly when one of them is gone."""

    def __init__(self, folder: Path, ranks: int, asked: dict[str, Any]) -> None:
        """`asked` is what the others are to make of `folder`: a "config" on CPUs, or "options" on GPUs."""
        super().__init__(Shard(0, ranks))
        self._folder = tempfile.TemporaryDirectory(prefix="engine-ranks-")
        self._store = Path(self._folder.name) / "store"
        self._teller = Teller()
        self._over: str | None = None
        self._processes = [_start() for _ in range(1, self.shard.ranks)]
        self._end = weakref.finalize(self, _end, self._processes)  # runs at exit, too
        start = {
            "folder": str(folder.absolute()),
            **asked,
            "ranks": ranks,
            "threads": torch.get_num_threads(),
            "store": str(self._store),
        }
        for rank, process in enumerate(self._processes, start=1):
            _write(process, json.dumps(start | {"rank": rank}))

    def meet(self, place: torch.device = CPU) -> None:
        """Raises InputError for what another rank refuses to load, RankFailed for one that breaks down."""
        for rank in range(1, self.shard.ranks):
            said = self._heard(rank)
            if "refused" in said:
                self.close()
                raise InputError(said["refused"])
            if "ready" not in said:
                raise self._failed(rank, said)
        self._tell("meet")
        self.connect(self._store, place)
        if place.type == "cpu":  # NCCL's own threads look into it as long as it lives
            self._folder.cleanup()

    def computing(self, step: Step, compute: Callable[P, R]) -> Callable[P, R]:
        note = Note.of(step)

        def on_all(*args: P.args, **kwargs: P.kwargs) -> R:
            if self._over is not None:
                raise RankFailed(self._over)
            with self.together():
                self._tell(self._teller.line(note))
                return compute(*args, **kwargs)

        return on_all

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            lost = self._lost(error)
            if lost is None:
                raise
            raise lost from error

    def wait_for(self, arrived: torch.cuda.Event) -> None:
        with self.together():
            super().wait_for(arrived)

    def close(self) -> None:
        self._over = self._over or "the engine was closed"
        self._end()
        self._folder.cleanup()

    def ended(self) -> bool:
        return any(process.poll() is not None for process in self._processes)

    def _tell(self, line: str) -> None:
        for process in self._processes:
            _write(process, line)

    def _heard(self, rank: int) -> dict[str, str]:
        """The next line of a rank, or nothing if it has ended."""
        outbox = self._processes[rank - 1].stdout
        said: dict[str, str] = json.loads((outbox.readline() if outbox else "") or "{}")
        return said

    def _lost(self, error: BaseException) -> RankFailed | None:
        """End the engine after a step that failed; returns what to say of the rank that it failed with, if one did."""
        gone = _first_gone(self._processes)
        if gone is not None:
            return self._failed(gone + 1, self._heard(gone + 1))
        self._over = (
            f"a step failed ({type(error).__name__}: {error}) and left the ranks out of step; start a new engine"
        )
        self.close()
        return None

    def _failed(self, rank: int, said: dict[str, str]) -> RankFailed:
        process = self._processes[rank - 1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GONE_WITHIN_S)
        why = said.get("failed") or said.get("refused") or f"its process ended with code {process.returncode}"
        self._over = f"rank {rank} of {self.shard.ranks} broke down: {why}; start a new engine"
        self.close()
        return RankFailed(self._over)


def lead(folder: Path, ranks: int, asked: dict[str, Any]) -> Group:
    """The group of an engine, whose other ranks begin to load their weights with this call."""
    return ALONE if ranks == 1 else Lead(folder, ranks, asked)


def _start() -> subprocess.Popen[str]:
    """In a session of its own: Ctrl-C is the engine's to handle. It imports from where this process does."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.rank"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        start_new_session=True,
    )


def _write(process: subprocess.Popen[str], line: str) -> None:
    """To one that is gone, nothing: that shows at the next thing that all ranks do."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line + "\n")
            process.stdin.flush()


def _first_gone(processes: list[subprocess.Popen[str]]) -> int | None:
    """Which process has ended of itself, or does in a moment: its connections are gone before it is."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while time.monotonic() < deadline:
        for number, process in enumerate(processes):
            if process.poll() not in (None, FORSAKEN):
                return number
        time.sleep(0.02)
    return None


def _end(processes: list[subprocess.Popen[str]]) -> None:
    """Close what they read, which ends them, whatever they are doing."""
    for process in processes:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
    for process in processes:
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
