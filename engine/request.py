"""A request and how its tokens are to be drawn. Torch-free."""

import enum
from dataclasses import dataclass, field

from engine.errors import InputError


class State(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to continue a prompt. Temperature 0 is greedy; top_k 0 and top_p 1 leave the distribution whole.

    A seed's draws depend on the seed and the token's position only, never on what else is in the batch.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        checks = [
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
            ("temperature", 0.0 <= self.temperature < float("inf"), "a number from 0 up"),
            ("top_k", self.top_k >= 0, "0 (all) or a count"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2^63 - 1"),
        ]
        for name, good, wanted in checks:
            if not good:
                raise InputError(f"{name} is {getattr(self, name)}; it must be {wanted}")


@dataclass(slots=True, eq=False)
class Request:
    """One prompt on its way through the engine.

    `tokens` are the prompt and what was accepted after it; the KV of the first `computed` of them is stored or
    planned. `in_flight` counts sampled tokens that a launched step will deliver. Decode, chunked prefill, a
    prefix hit and resuming after preemption are all the same difference, `outstanding`.
    """

    id: int
    prompt: list[int]
    params: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    tokens: list[int] = field(init=False)
    computed: int = 0
    in_flight: int = 0
    blocks: list[int] = field(default_factory=list)
    registered: int = 0  # leading blocks whose content the prefix index knows, and the id of the last one's content
    content: int = 0
    cached_tokens: int = 0  # of the prompt, found in the prefix index at first admission
    preemptions: int = 0
    state: State = State.WAITING
    finish_reason: str | None = None

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)

    @property
    def outstanding(self) -> int:
        """Tokens still to compute before the next one can be sampled."""
        return len(self.tokens) + self.in_flight - self.computed

    @property
    def output(self) -> list[int]:
        return self.tokens[len(self.prompt) :]

    @property
    def longest(self) -> int:
        """Most KV slots it can ever need: the last sampled token is never computed."""
        return len(self.prompt) + self.params.max_tokens - 1

    def finish_reason_after(self, token: int) -> str | None:
        if token in self.stop_ids and not self.params.ignore_eos:
            return "stop"
        return "length" if len(self.tokens) - len(self.prompt) >= self.params.max_tokens else None
