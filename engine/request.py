"""A request and how its tokens are to be drawn. Torch-free."""

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

MOST_LOGPROBS = 64
MOST_BIAS = 100.0
LEAST = math.ulp(0.0)  # above 0
WANTED = {
    "stop": "a text, or a list of texts, none of them empty",
    "stop_token_ids": "a list of token ids",
    "logit_bias": 'token ids with a number from -100 to 100 each, like {"42": -5}',
}


class State(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to continue a prompt; the defaults are greedy. What is here is checked here, types included.

    What happens to a token's logits, in this order (vLLM's, as are the names and meanings):

    - `logit_bias` adds to the logits of single tokens, as in OpenAI's API: -100 all but forbids one, 100 all but forces
      it. Before `min_tokens` no token that would end the request can be drawn. `json_schema` leaves only tokens with
      which the output can still become JSON of that schema.
    - `repetition_penalty` divides positive logits, and multiplies negative ones, of tokens in the prompt or the output.
    - `frequency_penalty` is taken off as often as a token is in the output, `presence_penalty` once if it is there.
    - `temperature` divides; 0 takes the likeliest now. `min_p` keeps what is at least this likely as the likeliest,
      `top_k` (0: all) so many of those, `top_p` the smallest set of that probability.
    - the draw depends on `seed`, the token's position and these numbers only, never on what else is in the batch.

    `stop` ends the output before the first of these texts, `stop_token_ids` with one of these tokens (also under
    `ignore_eos`); neither before `min_tokens`. `logprobs` and `prompt_logprobs` ask for the log probability of each
    token of the output or prompt, and of that many of the likeliest in its place, by the model's own distribution:
    before anything above.
    """

    max_tokens: int = 128
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    json_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("stop", "stop_token_ids", "logit_bias"):
            object.__setattr__(self, name, _kept_as(name, getattr(self, name)))
        checks = [
            ("max_tokens", _whole(self.max_tokens, 1), "a whole number from 1 up"),
            ("min_tokens", _whole(self.min_tokens, 0), "a whole number from 0 up"),
            ("temperature", _number(self.temperature, 0), "a number from 0 up"),
            ("top_k", _whole(self.top_k, 0), "0 (all) or a count"),
            ("top_p", _number(self.top_p, LEAST, 1), "above 0 and at most 1"),
            ("min_p", _number(self.min_p, 0, 1), "a number from 0 to 1"),
            ("repetition_penalty", _number(self.repetition_penalty, LEAST), "a number above 0"),
            ("presence_penalty", _number(self.presence_penalty, -2, 2), "a number from -2 to 2"),
            ("frequency_penalty", _number(self.frequency_penalty, -2, 2), "a number from -2 to 2"),
            ("logit_bias", _biases(self.logit_bias), WANTED["logit_bias"]),
            ("seed", _whole(self.seed, 0, 2**63 - 1), "a whole number from 0 to 2^63 - 1"),
            ("stop", _all(self.stop, lambda text: isinstance(text, str) and text != ""), WANTED["stop"]),
            ("stop_token_ids", _all(self.stop_token_ids, lambda token: _whole(token, 0)), WANTED["stop_token_ids"]),
            ("ignore_eos", isinstance(self.ignore_eos, bool), "true or false"),
            ("logprobs", _count(self.logprobs), f"a whole number from 0 to {MOST_LOGPROBS}"),
            ("prompt_logprobs", _count(self.prompt_logprobs), f"a whole number from 0 to {MOST_LOGPROBS}"),
            ("json_schema", isinstance(self.json_schema, Mapping | None), "a JSON schema (an object)"),
        ]
        for name, good, wanted in checks:
            if not good:
                value = getattr(self, name)
                given = list(value) if isinstance(value, tuple) else value  # as JSON has it
                raise InputError(f"{name} is {given!r}; it must be {wanted}")
        if self.min_tokens > self.max_tokens:
            raise InputError(f"min_tokens is {self.min_tokens}; it must be at most max_tokens, {self.max_tokens}")
        if self.json_schema is not None and self.min_tokens:
            raise InputError("min_tokens can't be asked for together with json_schema, which decides where to end")

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], beside: Iterable[str] = ()) -> Self:
        """From the fields of a JSON object; raises InputError for an unknown one, or one that is not right. Fields
        that the caller takes itself are named by `beside`, for the message."""
        known = [column.name for column in fields(cls)]
        for name in raw:
            if name not in known:
                raise InputError(f"unknown field {name!r}; known are {', '.join([*beside, *known])}")
        return cls(**raw)

    @property
    def penalizes(self) -> bool:
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def edits_logits(self) -> bool:
        return self.penalizes or bool(self.logit_bias) or self.min_tokens > 0 or self.min_p > 0


def _kept_as(name: str, value: Any) -> Any:
    """Lists as tuples, a single stop text as one of one, and the keys of logit_bias as numbers."""
    try:
        if name == "stop" and isinstance(value, str):
            return (value,)
        if name == "logit_bias":
            return {int(token): bias for token, bias in value.items()}
        return tuple(value)
    except (TypeError, ValueError, AttributeError):
        raise InputError(f"{name} is {value!r}; it must be {WANTED[name]}") from None


def _whole(value: object, least: int, most: float = math.inf) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: object, least: float, most: float = math.inf) -> bool:
    return type(value) is not bool and isinstance(value, int | float) and least <= value <= most and value != math.inf


def _all(value: object, good: Callable[[object], bool]) -> bool:
    return isinstance(value, tuple) and all(map(good, value))


def _count(value: object) -> bool:
    return value is None or _whole(value, 0, MOST_LOGPROBS)


def _biases(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(_whole(token, 0) and _number(bias, -MOST_BIAS, MOST_BIAS) for token, bias in value.items())


class TokenMask(Protocol):
    """Says before each draw which tokens may come next. Keeps its own place in the text: one object a request."""

    def allowed(self) -> NDArray[np.bool_]:
        """`[V]`, at least one of them true."""

    def accept(self, token: int) -> bool:
        """Move on by a drawn token; True when the text is complete and nothing may follow."""


class TokenLogprobs(NamedTuple):
    """A token's log probability, and the likeliest tokens in its place with theirs, likeliest first."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


@dataclass(slots=True, eq=False)
class Request:
    """One prompt on its way through the engine.

        0 ─────── KV stored or being stored ─────── computed ── to compute ── planned ── next draw

    `tokens` are the prompt and what was accepted after it. `planned` counts them and those that launched steps will
    still bring. Decode, chunked prefill, a prefix hit and resuming after preemption are all the same difference,
    `outstanding`. A lower `priority` runs earlier.
    """

    id: int
    prompt: list[int]
    params: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    priority: int = 0
    mask: TokenMask | None = None
    watchers: list[Callable[[int], bool]] = field(default_factory=list)  # told each token; True ends the request
    arrival: int = 0
    tokens: list[int] = field(init=False)
    planned: int = field(init=False)
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    ceiling: int = 0  # computed may rise to here: the end of its blocks, or all it will ever need
    registered: int = 0  # leading blocks whose content the prefix index knows, and the id of the last one's content
    content: int = 0
    cached_tokens: int = 0  # of the prompt, found in the prefix index at first admission
    preemptions: int = 0
    state: State = State.WAITING
    finish_reason: str | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)  # from the prompt's second token on
    limit: int = field(init=False)  # most tokens, prompt included
    ends: frozenset[int] = field(init=False)
    looks_back: bool = field(init=False)  # a draw depends on earlier ones beyond the model's own reading of them
    edits_logits: bool = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)
        self.planned = len(self.tokens)
        self.limit = len(self.prompt) + self.params.max_tokens
        eos = frozenset[int]() if self.params.ignore_eos else self.stop_ids
        self.ends = eos.union(self.params.stop_token_ids)
        self.looks_back = self.params.penalizes or self.mask is not None
        self.edits_logits = self.looks_back or self.params.edits_logits

    @property
    def outstanding(self) -> int:
        """Tokens still to compute before the next one can be sampled."""
        return self.planned - self.computed

    @property
    def output(self) -> list[int]:
        return self.tokens[len(self.prompt) :]

    @property
    def longest(self) -> int:
        """Most KV slots it can ever need: the last sampled token is never computed."""
        return self.limit - 1

    @property
    def findable(self) -> int:
        """How much of it may be taken from the prefix cache: not the last token, nor what is to be scored."""
        last = len(self.tokens) - 1
        return last if self.params.prompt_logprobs is None else min(last, len(self.prompt_logprobs))

    def accept(self, token: int) -> str | None:
        """Take a sampled token; returns why the request ends with it, or None."""
        self.tokens.append(token)
        if token in self.ends:
            return "stop"
        if self.watchers and any(watch(token) for watch in self.watchers):
            return "stop"
        return "length" if len(self.tokens) >= self.limit else None
