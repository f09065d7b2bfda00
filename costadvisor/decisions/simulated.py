"""What a record's replica does at lengths, clumping or limits that were not measured: simulated by its step model.

A search takes some tenths of a second, so that its result is kept: a decision's page asks for the same one each time.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

from engine.calibrate.other_lengths import Asked, SimulatedRate, TokenCounts, own_rate, rate_at
from engine.calibrate.record import Record
from engine.calibrate.slo import Slo
from engine.errors import InputError

KEPT = 512
Shares = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Demand:
    """What is asked of a replica: lengths in this model's tokens, how arrivals clump, and the objective.

    `input_shares` and `output_shares` are (tokens, share of requests), where a trace said them.
    """

    input_tokens: float
    output_tokens: float
    burstiness: float
    ttft_p95_ms: float
    tpot_p95_ms: float
    input_shares: Shares = ()
    output_shares: Shares = ()


def simulated_rate(record: Record, demand: Demand) -> SimulatedRate | None:
    """None where the record can't say. A limit that the demand does not set is the record's."""
    return _found(_Known(record.sha256, record), demand, _objective(record, demand))


def _objective(record: Record, demand: Demand) -> Slo:
    limits = ((demand.ttft_p95_ms, record.slo.ttft_p95_ms), (demand.tpot_p95_ms, record.slo.tpot_p95_ms))
    ttft_p95_ms, tpot_p95_ms = (asked if math.isfinite(asked) else own for asked, own in limits)
    return Slo(ttft_p95_ms, tpot_p95_ms)


@dataclass(frozen=True)
class _Known:
    """A record is what its hash says."""

    sha256: str
    record: Record = field(compare=False)


@lru_cache(maxsize=KEPT)
def _found(known: _Known, demand: Demand, slo: Slo) -> SimulatedRate | None:
    inputs = TokenCounts(demand.input_tokens, demand.input_shares)
    outputs = TokenCounts(demand.output_tokens, demand.output_shares)
    try:
        return rate_at(known.record, Asked(inputs, outputs, demand.burstiness, slo), _own(known))
    except InputError:
        return None


@lru_cache(maxsize=KEPT)
def _own(known: _Known) -> float | None:
    return own_rate(known.record)
