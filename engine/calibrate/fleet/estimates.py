"""Two quick estimates of what the simulation answers: the fluid one, and Erlang C.

Fluid: `ceil(rate · (1 + headroom) / λ_plan)` replicas, as if traffic were a stream without clumps.

Erlang C (M/M/c): Poisson arrivals, one common queue without limit, first come first served, and c = replicas × slots
servers that each serve one request at a time. A slot is a place in a replica's batch: as many as rows and memory hold
(a whole request each) and as keep the mean step inside the SLO's time per token. Serving takes an exponential time
whose mean is that of a request in a full batch. So it knows nothing of lengths that differ, of bursts, of the router,
of steps that are quick while few run, nor of more running than there are slots; of latencies it only says how long a
request waits for a slot.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.calibrate.fleet.ask import ReplicaModel
from engine.calibrate.slo import Slo

MET_SHARE = 0.95  # limits are of the 95th percentile


@dataclass(frozen=True, slots=True)
class Slots:
    """Places in one replica's batch, the mean seconds a request holds one, and those until its first token."""

    slots: int
    service_s: float
    first_token_s: float

    @property
    def requests_per_s(self) -> float:
        """Of one replica whose slots are all taken."""
        return self.slots / self.service_s

    @classmethod
    def of(cls, model: ReplicaModel, mean_lengths: tuple[float, float]) -> "Slots":
        """From the step model, for requests that all have the mean lengths."""
        config, (prompt, output) = model.config, mean_lengths
        most = min(config.rows, (config.num_blocks - 1) // config.blocks_for(math.ceil(prompt + output)))
        slots, longest_s = 1, model.slo.tpot_p95_ms / 1000 * output
        while slots < most and _full_batch(model, slots + 1, prompt, output)[0] <= longest_s:
            slots += 1
        service_s, first_token_s = _full_batch(model, slots, prompt, output)
        return cls(slots, service_s, first_token_s)


def _full_batch(model: ReplicaModel, running: int, prompt: float, output: float) -> tuple[float, float]:
    """Mean seconds that a request is there while so many always run, and those until its first token.

    While it is there each of them ends once and is replaced. A prompt takes steps of its own while there are steps
    enough; where there are not, every step computes prompts, and is as full as the token budget.
    """
    budget = model.config.token_budget
    own_steps = math.ceil(prompt / max(1, budget - running))
    with_prompt = min(running * own_steps, max(output, running * (prompt + output) / budget))
    decoding = round(running * output / max(output, with_prompt))  # the others compute their prompts
    context = round(decoding * (prompt + output / 2))
    share = running / with_prompt  # of a prompt, in a step that computes prompts
    pairs = round(share * prompt * (prompt + 1) / 2)
    mixed_ms = model.step_ms(min(decoding, running - 1), max(1, round(share * prompt)), context, pairs)
    plain_ms = model.step_ms(running, 0, context, 0)
    service_ms = with_prompt * mixed_ms + max(0.0, output - with_prompt) * plain_ms
    return service_ms / 1000, own_steps * mixed_ms / 1000


def fluid_replicas(requests_per_s: float, plan_requests_per_s: float, headroom: float) -> int:
    return math.ceil(requests_per_s * (1 + headroom) / plan_requests_per_s)


def wait_chance(servers: int, load: float) -> float:
    """Erlang's C: the share of arrivals that find all servers taken; `load` is rate × mean service time."""
    if load >= servers:
        return 1.0
    if not load:
        return 0.0
    blocked = 1.0  # Erlang's B, by the recursion over servers
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait_s(servers: int, requests_per_s: float, service_s: float) -> float:
    """Infinite where the servers can't keep up."""
    spare = servers / service_s - requests_per_s
    return wait_chance(servers, requests_per_s * service_s) / spare if spare > 0 else math.inf


def ttft_share(slots: Slots, replicas: int, requests_per_s: float, slo: Slo) -> float:
    """The share of requests whose wait for a slot leaves them time for their first token, by Erlang C."""
    left_s = slo.ttft_p95_ms / 1000 - slots.first_token_s
    spare = replicas * slots.requests_per_s - requests_per_s
    if left_s < 0 or spare <= 0:
        return 0.0
    return 1 - wait_chance(replicas * slots.slots, requests_per_s * slots.service_s) * math.exp(-spare * left_s)


def erlang_c_replicas(slots: Slots, requests_per_s: float, slo: Slo) -> int | None:
    """The fewest replicas with which 95 of 100 get their first token in time; None where no number would do."""
    if not requests_per_s:
        return 0
    if slots.first_token_s * 1000 > slo.ttft_p95_ms:
        return None
    return _fewest(lambda replicas: ttft_share(slots, replicas, requests_per_s, slo) >= MET_SHARE)


def _fewest(enough: Callable[[int], bool]) -> int:
    """The smallest number from 1 up that is enough, where all above it are as well."""
    most = 1
    while not enough(most):
        most *= 2
    least = most // 2 + 1
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return most
