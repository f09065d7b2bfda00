"""From requests to what the kernels draw and score by, and back: tokens and their log probabilities.

Requests are read before a step is launched, results after it is done; in between, everything is tensors on a device.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from engine.operations import Operations
from engine.request import Request, TokenLogprobs
from engine.scheduler import Chunk
from kernels import reference
from kernels.reference import LogitEdits, SamplingRows

# Positions of a prompt whose logits exist at one time: 64 of a vocabulary of 150,000 take 37 MiB in float32.
POSITIONS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Draws:
    """How the S sampled tokens of a step are drawn; S None's stand for: all greedy, straight from the logits."""

    requests: list[Request]
    rows: SamplingRows | None
    edits: LogitEdits | None
    asking: Tensor | None  # [A] which of them want log probabilities; None for none

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Self:
        """For chunks that sample, in the order of their tokens."""
        requests = [chunk.request for chunk in chunks]
        places = [chunk.start + chunk.count for chunk in chunks]  # of the new tokens in their sequences
        asking = [number for number, request in enumerate(requests) if asks(request)]
        return cls(
            requests, _rows(requests, places), _edits(requests, places), torch.tensor(asking) if asking else None
        )


class PromptScores(NamedTuple):
    """A stretch of a prompt to be scored: row `first + i` of the batch is followed by `targets[i]`, the token at
    `place + i` of its sequence."""

    request: Request
    first: int
    place: int
    targets: list[int]

    @classmethod
    def of(cls, chunk: Chunk, first: int) -> list[Self]:
        """What of a chunk is to be scored that has its tokens from row `first` on: one stretch, or none."""
        request = chunk.request
        if request.params.prompt_logprobs is None:
            return []
        targets = request.prompt[chunk.start + 1 : chunk.start + chunk.count + 1]
        return [cls(request, first, chunk.start + 1, targets)] if targets else []


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a step brought: `tokens [S]`, and log probabilities for those requests that asked."""

    tokens: Tensor
    logprobs: dict[Request, TokenLogprobs] = field(default_factory=dict)
    prompt_logprobs: list[tuple[PromptScores, list[TokenLogprobs]]] = field(default_factory=list)


class Scored(NamedTuple):
    """Log probabilities of `tokens [M]`, as `kernels.reference.logprobs` gives them."""

    tokens: Tensor
    of_tokens: Tensor
    ids: Tensor
    likeliest: Tensor

    def leaving(self) -> "Scored":
        return Scored(*(column.to("cpu", non_blocking=True) for column in self))

    def entries(self) -> list[TokenLogprobs]:
        columns = (column.tolist() for column in self)
        return [
            TokenLogprobs(token, own, list(zip(ids, top, strict=True)))
            for token, own, ids, top in zip(*columns, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The tensors of what a step draws and scores; `read` waits for them."""

    requests: list[Request]
    tokens: Tensor
    scored: Scored | None  # those of the requests that asked, in order
    prompts: list[tuple[PromptScores, list[Scored]]]

    def read(self) -> Drawn:
        prompts = [(score, [entry for part in parts for entry in part.entries()]) for score, parts in self.prompts]
        return Drawn(self.tokens, self._logprobs(), prompts)

    def leaving(self) -> "Drawing":
        """The same with all that is to be read on its way to the host, which must wait for the stream to read it."""
        scored = None if self.scored is None else self.scored.leaving()
        prompts = [(score, [part.leaving() for part in parts]) for score, parts in self.prompts]
        return Drawing(self.requests, self.tokens, scored, prompts)

    def _logprobs(self) -> dict[Request, TokenLogprobs]:
        if self.scored is None:
            return {}
        asking = [(request, request.params.logprobs) for request in self.requests if asks(request)]
        return {
            request: entry._replace(top=entry.top[:count])
            for (request, count), entry in zip(asking, self.scored.entries(), strict=True)
        }


def asks(request: Request) -> bool:
    """Whether its tokens are to be scored."""
    return request.params.logprobs is not None


def draw(
    head: Callable[[Tensor], Tensor],
    last: Tensor,
    draws: Draws,
    hidden: Tensor,
    scores: Sequence[PromptScores],
    operations: Operations,
) -> Drawing:
    """Draw the tokens that follow `last [S, N]`, and score what was asked of `hidden [T, N]`; `head` makes logits."""
    prompts = [(score, _score(head, hidden, score, operations)) for score in scores]
    if not draws.requests:
        return Drawing([], last.new_empty(0, dtype=torch.int64), None, prompts)
    logits = head(last)
    edited = logits if draws.edits is None else reference.edit_logits(logits, draws.edits)
    tokens = operations.sample(edited, draws.rows)
    scored = None
    if draws.asking is not None:
        most = max(request.params.logprobs or 0 for request in draws.requests)
        asked = tokens[draws.asking]
        scored = Scored(asked, *operations.logprobs(logits[draws.asking], asked, most))
    return Drawing(draws.requests, tokens, scored, prompts)


def _score(
    head: Callable[[Tensor], Tensor], hidden: Tensor, score: PromptScores, operations: Operations
) -> list[Scored]:
    """A slice at a time, so that a long prompt's logits never exist all at once."""
    targets = torch.tensor(score.targets).to(hidden.device, non_blocking=True)
    most = score.request.params.prompt_logprobs or 0
    scored: list[Scored] = []
    for start in range(0, len(targets), POSITIONS_AT_ONCE):
        part = targets[start : start + POSITIONS_AT_ONCE]
        first = score.first + start
        logits = head(hidden[first : first + len(part)])
        scored.append(Scored(part, *operations.logprobs(logits, part, most)))
    return scored


def _rows(requests: Sequence[Request], places: Sequence[int]) -> SamplingRows | None:
    params = [request.params for request in requests]
    if all(p.temperature == 0 for p in params):
        return None
    return SamplingRows(
        temperature=torch.tensor([float(p.temperature) for p in params]),
        top_k=torch.tensor([p.top_k for p in params]),
        top_p=torch.tensor([float(p.top_p) for p in params]),
        seed=torch.tensor([p.seed for p in params]),
        position=torch.tensor(places) - 1,
    )


def _edits(requests: Sequence[Request], places: Sequence[int]) -> LogitEdits | None:
    if not any(request.edits_logits for request in requests):
        return None
    bias: list[tuple[int, int, float]] = []
    penalties: list[tuple[int, int, float, float]] = []
    forbidden: list[tuple[int, int]] = []
    masks: list[tuple[int, np.ndarray]] = []
    min_p: list[tuple[int, float]] = []
    for row, (request, place) in enumerate(zip(requests, places, strict=True)):
        params = request.params
        bias += [(row, token, value) for token, value in params.logit_bias.items()]
        if params.penalizes:
            penalties += _penalties(row, request)
        if place - len(request.prompt) < params.min_tokens:
            forbidden += [(row, token) for token in request.ends]
        if request.mask is not None:
            masks.append((row, request.mask.allowed()))
        if params.min_p > 0:
            min_p.append((row, -params.temperature * math.log(params.min_p)))
    whole, real = torch.int64, torch.float32
    return LogitEdits(
        bias=_columns(bias, whole, whole, real),
        penalties=_columns(penalties, whole, whole, real, real),
        forbidden=_columns(forbidden, whole, whole),
        masked=torch.tensor([row for row, _ in masks], dtype=torch.int64),
        allowed=torch.from_numpy(np.stack([mask for _, mask in masks])) if masks else None,
        min_p=_columns(min_p, whole, real),
    )


def _penalties(row: int, request: Request) -> list[tuple[int, int, float, float]]:
    """(row, token, factor, amount) for every token of the prompt and output."""
    params = request.params
    counts = Counter(request.output)
    amounts = {t: params.presence_penalty + params.frequency_penalty * count for t, count in counts.items()}
    return [(row, t, params.repetition_penalty, amounts.get(t, 0.0)) for t in {*request.prompt, *counts}]


def _columns(entries: Sequence[tuple[float, ...]], *kinds: torch.dtype) -> tuple[Tensor, ...]:
    columns = list(zip(*entries, strict=True)) or [()] * len(kinds)
    return tuple(torch.tensor(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True))
