"""A step as one line of JSON, from the rank that plans to those that compute along. Torch-free.

The others keep the requests that they were told of, and add to them the tokens that they see drawn. So a line says what
they can't know: which tokens are computed, where, and which requests are new or have ended.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple, Self

from engine.request import Request, SamplingParams, State
from engine.scheduler import Chunk, Step


class Note(NamedTuple):
    """A launched step, with what its requests may lose before it is computed: blocks, and the place they are at."""

    decodes: int  # so many of the chunks
    chunks: list[Chunk]
    planned: list[int]
    blocks: list[list[int]]

    @classmethod
    def of(cls, step: Step) -> Self:
        chunks = step.chunks
        requests = [chunk.request for chunk in chunks]
        return cls(len(step.decodes), chunks, [r.planned for r in requests], [r.blocks for r in requests])


class Teller:
    """Writes the lines, in the order in which the steps are computed."""

    def __init__(self) -> None:
        self._told: dict[Request, list[int]] = {}  # who was told of, with which blocks

    def line(self, note: Note) -> str:
        in_step = {chunk.request for chunk in note.chunks}
        ended = [r for r in self._told if r.state is State.FINISHED and r not in in_step]
        for request in ended:
            del self._told[request]
        new = [r for r in in_step if r not in self._told]
        chunks = [
            (c.request.id, c.start, c.count, c.samples, planned, self._blocks(c.request, blocks))
            for c, planned, blocks in zip(note.chunks, note.planned, note.blocks, strict=True)
        ]
        line = {
            "ended": [r.id for r in ended],
            # With its output so far: one that was told of before is new again when it was cancelled in flight.
            "new": [(r.id, r.prompt, r.output, r.params.prompt_logprobs) for r in new],
            "decodes": note.decodes,
            "chunks": chunks,
        }
        return json.dumps(line, separators=(",", ":"))

    def _blocks(self, request: Request, blocks: list[int]) -> list[int] | None:
        """None for those that it was told of last."""
        if self._told.get(request) == blocks:
            return None
        self._told[request] = blocks
        return blocks


class Mirror:
    """The requests as another rank knows them, and the steps that it is told."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}

    def step(self, line: str) -> Step:
        told = json.loads(line)
        for number in told["ended"]:
            del self._requests[number]
        for number, prompt, output, prompt_logprobs in told["new"]:
            request = self._requests[number] = Request(number, prompt, SamplingParams(prompt_logprobs=prompt_logprobs))
            request.tokens += output
        chunks = [self._chunk(*chunk) for chunk in told["chunks"]]
        decodes = [(chunk.request, chunk.start) for chunk in chunks[: told["decodes"]]]
        return Step(decodes, chunks[told["decodes"] :])

    def accept(self, step: Step, tokens: Sequence[int]) -> None:
        """Take what the step drew, in its order; those that have ended meanwhile are in no further step."""
        for request, token in zip(step.sampled, tokens, strict=True):
            request.tokens.append(token)

    def _chunk(
        self, number: int, start: int, count: int, samples: bool, planned: int, blocks: list[int] | None
    ) -> Chunk:
        request = self._requests[number]
        request.planned = planned
        if blocks is not None:
            request.blocks = blocks
        return Chunk(request, start, count, samples)
