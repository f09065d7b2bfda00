"""The engine as a child process of a calibration: JSON lines in, JSON lines out, over its standard streams.

    in   {"command": "start", "model": DIR, "options": {…}, "threads": N}     first, and once
         {"command": "generate", "prompts": [[ids]], "max_tokens": N}         greedy
         {"command": "level", "spec": {…}}
         {"command": "stop"}                                                  ends a running level at its next step
    out  {"event": "ready" | "generated" | "progress" | "level" | "refused" | "failed", …}

Times are this process's monotonic clock, read when a step's tokens are known. The worker sits in a blocking read until
it is told something, so nothing competes with the engine for the cores. It ends when its standard input closes,
whatever it is doing, and so never outlives its parent.
"""

import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.level import LevelSpec
from engine.calibrate.load import Backend, Stepped, run_level
from engine.calibrate.workload import Corpus, Lengths
from engine.calibrate.workload.prompts import CorpusTokens, Prompts, RandomTokens, Source
from engine.config import EngineOptions
from engine.errors import InputError
from engine.request import Request, SamplingParams
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from engine.engine import Engine

Message = dict[str, Any]


class Replica(Backend, Protocol):
    """What the worker serves: a backend that can also describe itself and continue given prompts."""

    def describe(self) -> Message: ...

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """Greedy continuations, as one batch, from a cold prefix cache."""


class EngineReplica:
    """The real engine under the machine's clock."""

    def __init__(self, engine: "Engine", interrupted: threading.Event) -> None:
        self.engine = engine
        self.interrupted = interrupted
        self.sources: dict[Corpus | None, Source] = {None: RandomTokens(engine.runner.shape.vocab)}

    def now(self) -> float:
        return time.monotonic()

    def wait_until(self, when: float) -> None:
        self.interrupted.wait(max(0.0, when - time.monotonic()))

    @property
    def block_size(self) -> int:
        return self.engine.config.scheduler.block_size

    def reset(self, spec: LevelSpec) -> None:
        corpus = spec.content.corpus
        if corpus is not None and corpus not in self.sources:
            self.sources[corpus] = CorpusTokens(corpus_tokens(corpus, self.engine.tokenizer))
        self.engine.reset_prefix_cache()
        self.prompts = Prompts(self.sources[corpus], spec.seed)

    def submit(self, lengths: Lengths) -> Request:
        params = SamplingParams(max_tokens=lengths.output, ignore_eos=True)
        return self.engine.add(self.prompts.tokens(lengths), params)

    def cancel(self, request: Request) -> None:
        self.engine.cancel(request)

    def step(self, until: float) -> Stepped:
        result = self.engine.step()
        if result is None:
            raise RuntimeError("the load asked for a step and the engine has nothing to do")
        return Stepped(result.record, [request for request, _ in result.tokens])

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        self.engine.reset_prefix_cache()
        params = SamplingParams(max_tokens=max_tokens, ignore_eos=True)
        return [request.output for request in self.engine.generate(prompts, params)]

    def describe(self) -> Message:
        import torch

        config = self.engine.config
        limits = config.scheduler
        return {
            "scheduler": {name: getattr(limits, name) for name in type(limits).__slots__},
            "device": config.device,
            "dtype": config.dtype,
            "kv_dtype": config.kv_dtype,
            "quantization": config.quantization,
            "operations": config.operations,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }


def corpus_tokens(corpus: Corpus, tokenizer: Tokenizer) -> NDArray[np.int32]:
    """The text in tokens `[T]`; raises InputError when it can't be had or is no longer the text that was asked for."""
    if tokenizer.decode([]) is None:
        raise InputError(f"text needs a tokenizer and {tokenizer.folder} has none; leave text out for random tokens")
    try:
        data = Path(corpus.path).read_bytes()
    except OSError as error:
        raise InputError(f"text {corpus.path} can't be read any more ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != corpus.sha256:
        raise InputError(f"text {corpus.path} has changed since the calibration began; start again")
    return np.array(tokenizer.encode(data.decode()), dtype=np.int32)


def start_engine(command: Message, interrupted: threading.Event) -> EngineReplica:
    """Import torch, load the model; raises InputError for what can't be served."""
    import torch

    if command["threads"] is not None:
        torch.set_num_threads(command["threads"])
    from engine.engine import Engine

    engine = Engine(Path(command["model"]), EngineOptions(**command["options"]))
    return EngineReplica(engine, interrupted)


class Worker:
    """Reads commands and answers each. `interrupted` is set by a `stop`, which is read while a level runs."""

    def __init__(
        self,
        inbox: IO[str],
        outbox: IO[str],
        start: Callable[[Message, threading.Event], Replica] = start_engine,
    ) -> None:
        self.inbox = inbox
        self.outbox = outbox
        self.start = start
        self.interrupted = threading.Event()
        self.commands: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            replica = self.start(self.commands.get(), self.interrupted)
            self._send({"event": "ready", **replica.describe()})
            while True:
                self._obey(replica, self.commands.get())
        except InputError as error:
            self._send({"event": "refused", "message": str(error)})
        except Exception as error:
            self._send({"event": "failed", "message": f"{type(error).__name__}: {error}"})
            raise

    def _listen(self) -> None:
        for line in self.inbox:
            command = json.loads(line)
            if command["command"] == "stop":
                self.interrupted.set()
            else:
                self.interrupted.clear()  # a stop is for the level that ran when it came
                self.commands.put(command)
        os._exit(0)  # the parent is gone, or done with us; a step may still be running and nobody waits for it

    def _obey(self, replica: Replica, command: Message) -> None:
        if command["command"] == "generate":
            tokens = replica.generate(command["prompts"], command["max_tokens"])
            self._send({"event": "generated", "tokens": tokens})
        elif command["command"] == "level":
            spec = LevelSpec.from_json(command["spec"])
            log = run_level(replica, spec, stopped=self.interrupted.is_set, report=self._report)
            self._send({"event": "level", "log": log.to_json()})
        else:
            raise ValueError(f"unknown command {command['command']!r}")

    def _report(self, seconds: float, tokens: int) -> None:
        self._send({"event": "progress", "seconds": seconds, "tokens": tokens})

    def _send(self, message: Message) -> None:
        self.outbox.write(json.dumps(message, separators=(",", ":")) + "\n")
        self.outbox.flush()


def main() -> None:
    """Serve over the standard streams; whatever else prints goes to standard error."""
    outbox = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    Worker(sys.stdin, outbox).serve()


if __name__ == "__main__":
    main()
