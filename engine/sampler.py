"""From requests to what the kernels draw and score by, and back: tokens and their log probabilities."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

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

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Self:
        """For chunks that sample, in the order of their tokens."""
        requests = [chunk.request for chunk in chunks]
        places = [chunk.start + chunk.count for chunk in chunks]  # of the new tokens in their sequences
        return cls(requests, _rows(requests, places), _edits(requests, places))


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


def draw(
    head: Callable[[Tensor], Tensor], hidden: Tensor, sampled: Tensor, draws: Draws, scores: Sequence[PromptScores]
) -> Drawn:
    """Draw the tokens after `hidden[sampled]`, and score what was asked. `hidden [T, N]`; `head` makes logits of it."""
    logits = head(hidden[sampled])
    edited = logits if draws.edits is None else reference.edit_logits(logits, draws.edits)
    tokens = reference.sample(edited, draws.rows)
    return Drawn(tokens, _logprobs(logits, tokens, draws.requests), [_score(head, hidden, score) for score in scores])


def _logprobs(logits: Tensor, tokens: Tensor, requests: Sequence[Request]) -> dict[Request, TokenLogprobs]:
    asking = {row: r.params.logprobs for row, r in enumerate(requests) if r.params.logprobs is not None}
    if not asking:
        return {}
    rows = torch.tensor(list(asking))
    scored = _token_logprobs(logits[rows], tokens[rows], max(asking.values()))
    return {
        requests[row]: entry._replace(top=entry.top[:count])
        for (row, count), entry in zip(asking.items(), scored, strict=True)
    }


def _score(
    head: Callable[[Tensor], Tensor], hidden: Tensor, score: PromptScores
) -> tuple[PromptScores, list[TokenLogprobs]]:
    """A slice at a time, so that a long prompt's logits never exist all at once."""
    scored: list[TokenLogprobs] = []
    for start in range(0, len(score.targets), POSITIONS_AT_ONCE):
        targets = torch.tensor(score.targets[start : start + POSITIONS_AT_ONCE])
        first = score.first + start
        logits = head(hidden[first : first + len(targets)])
        scored += _token_logprobs(logits, targets, score.request.params.prompt_logprobs or 0)
    return score, scored


def _token_logprobs(logits: Tensor, tokens: Tensor, count: int) -> list[TokenLogprobs]:
    of_tokens, ids, likeliest = reference.logprobs(logits, tokens, count)
    return [
        TokenLogprobs(token, logprob, list(zip(top_ids, top, strict=True)))
        for token, logprob, top_ids, top in zip(
            tokens.tolist(), of_tokens.tolist(), ids.tolist(), likeliest.tolist(), strict=True
        )
    ]


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
