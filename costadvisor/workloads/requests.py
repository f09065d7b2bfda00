"""Requests of a trace or a log, as columns. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from costadvisor.common.refusal import Refusal
from engine.calibrate.workload.lengths import found_share
from engine.calibrate.workload.trace import trace_parse
from engine.errors import InputError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Requests:
    """By arrival, at least one; every array is `[requests]`.

    `arrival_s` is Unix time, or since the start where `has_clock` is false. `input_tokens` and `output_tokens` are at
    least 1. `ttft_ms` and `tpot_ms` hold what a log says of latency, of the requests that it says it of.
    `prefix_hit_share` is what an unlimited prefix cache would find; None where nothing tells.
    """

    label: str
    arrival_s: Floats
    input_tokens: Counts
    output_tokens: Counts
    has_clock: bool
    prefix_hit_share: float | None = None
    ttft_ms: Floats | None = None
    tpot_ms: Floats | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def span_s(self) -> float:
        return float(self.arrival_s[-1] - self.arrival_s[0])

    @property
    def began_at(self) -> datetime:
        return datetime.fromtimestamp(float(self.arrival_s[0]), UTC)


def trace_requests(content: bytes, file_name: str) -> Requests:
    """A Mooncake or Azure trace, as the engine reads it. Raises Refusal naming the line that cannot be used."""
    try:
        trace = trace_parse(BytesIO(content), file_name)
    except InputError as error:
        raise Refusal(f"The {error}.", field="trace") from error
    lengths = np.array([(each.input, each.output) for each in trace.lengths], dtype=np.int64)
    return Requests(
        label="Mooncake trace" if trace.began_s is None else "Azure trace",
        arrival_s=np.asarray(trace.seconds) + (trace.began_s or 0.0),
        input_tokens=lengths[:, 0],
        output_tokens=lengths[:, 1],
        has_clock=trace.began_s is not None,
        prefix_hit_share=found_share(trace.lengths) if trace.has_hash_ids else None,
    )
