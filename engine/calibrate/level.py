"""One level of load, as asked for and as written down; both travel between the processes as JSON."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import Any, NamedTuple

from engine.calibrate.metrics import Histogram
from engine.calibrate.workload.lengths import RANDOM, Content, Lengths
from engine.stats import StepRecord


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """One level to run. `arrivals` (seconds from its start, ascending) makes it open loop, else `concurrency` holds.

    `lengths` are used in order, from the first again when they run out; `content` is what prompts are made of.
    Latencies and throughput count inside a window of `window_s`: in open loop it opens after `warm_in_s`, in closed
    loop when all of the first N have their first token. `limit_s` bounds what comes beside the window: the opening of a
    closed loop, the drain of an open one.
    """

    id: str
    purpose: str
    seed: int
    lengths: tuple[Lengths, ...]
    window_s: float
    limit_s: float
    concurrency: int | None = None
    arrivals: tuple[float, ...] | None = None
    warm_in_s: float = 0.0
    content: Content = RANDOM

    @property
    def open_loop(self) -> bool:
        return self.arrivals is not None

    @property
    def shares_prefixes(self) -> bool:
        return self.content.prefix_share > 0 or any(pair.spans for pair in self.lengths)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "LevelSpec":
        lengths = tuple(map(Lengths.from_json, raw.pop("lengths")))
        content = Content.from_json(raw.pop("content"))
        arrivals = raw.pop("arrivals")
        return cls(lengths=lengths, content=content, arrivals=None if arrivals is None else tuple(arrivals), **raw)


@dataclass(slots=True)
class RequestRow:
    """One request; seconds from the level's start. `starter`: sent in a closed loop's opening burst, cut shorter."""

    t_sched: float
    t_sent: float
    input: int
    asked: int
    starter: bool = False
    t_first: float | None = None
    t_last: float | None = None
    output: int = 0
    cached: int = 0
    preemptions: int = 0
    finished: bool = False

    def values(self) -> tuple[Any, ...]:
        """In the order of REQUEST_COLUMNS."""
        return astuple(self)

    def ttft_ms(self, *, open_loop: bool) -> float | None:
        since = self.t_sched if open_loop else self.t_sent
        return None if self.t_first is None else (self.t_first - since) * 1000

    @property
    def tpot_ms(self) -> float | None:
        if self.t_first is None or self.t_last is None or self.output < 2:
            return None
        return (self.t_last - self.t_first) / (self.output - 1) * 1000

    @property
    def e2e_ms(self) -> float | None:
        return None if self.t_last is None else (self.t_last - self.t_sched) * 1000


REQUEST_COLUMNS = tuple(column.name for column in fields(RequestRow))


class StepRow(NamedTuple):
    """One iteration of the engine: seconds from the level's start, and what the step model is fitted on."""

    started_s: float
    ms: float
    decode_sequences: int
    prefill_tokens: int
    decode_context: int
    prefill_pairs: int
    sampled: int
    preempted: int
    waiting: int
    running: int
    free_blocks: int

    @property
    def ended_s(self) -> float:
        return self.started_s + self.ms / 1000

    @classmethod
    def of(cls, record: StepRecord, zero: float, sampled: int) -> "StepRow":
        """A row of the engine's step log, with its times counted from `zero`."""
        return cls(
            round(record.started_s - zero, 6),
            round(record.ms, 4),
            record.decode_sequences,
            record.prefill_tokens,
            record.decode_context,
            record.prefill_pairs,
            sampled,
            record.preempted,
            record.waiting,
            record.running,
            record.free_blocks,
        )


def turns(steps: Sequence[StepRow]) -> list[StepRow]:
    """The steps of a closed loop, which follow on each other, each counted from the end of the one before: what the
    host does in between takes time as well, and belongs to the step that it prepares."""
    rows = list(steps[:1])
    for before, step in itertools.pairwise(steps):
        rows.append(step._replace(started_s=before.ended_s, ms=1000 * (step.ended_s - before.ended_s)))
    return rows


@dataclass(frozen=True, slots=True)
class ClientLog:
    """What the sender of a black box's load knows of it, where there is no step log.

    Tokens count by timestamp inside the window, those of a prompt (as far as it was not cached) with its first token.
    `cpu_share` is of one core; `errors` are requests by what became of them.
    """

    input_tokens: int
    output_tokens: int
    cpu_share: float
    send_lag_p99_ms: float
    errors: dict[str, int]


@dataclass(slots=True)
class LevelLog:
    """What a level brought. `window` is None when it never opened; `complete` is False when it was stopped early."""

    window: tuple[float, float] | None = None
    duration_s: float = 0.0
    complete: bool = True
    requests: list[RequestRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    itl_gaps_ms: Histogram = field(default_factory=Histogram)
    client: ClientLog | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "duration_s": self.duration_s,
            "complete": self.complete,
            "requests": [row.values() for row in self.requests],
            "steps": self.steps,
            "itl_gaps_ms": self.itl_gaps_ms.pairs(),
            "client": None if self.client is None else asdict(self.client),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "LevelLog":
        return cls(
            window=tuple(raw["window"]) if raw["window"] else None,
            duration_s=raw["duration_s"],
            complete=raw["complete"],
            requests=[RequestRow(**dict(zip(REQUEST_COLUMNS, values, strict=True))) for values in raw["requests"]],
            steps=[StepRow(*values) for values in raw["steps"]],
            itl_gaps_ms=Histogram.from_pairs(raw["itl_gaps_ms"]),
            client=None if raw["client"] is None else ClientLog(**raw["client"]),
        )
