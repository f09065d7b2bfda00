"""What a simulated fleet did, `costadvisor.fleet/1`: frozen, with a canonical JSON form. Null: not enough to say."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.calibrate.fleet.ask import FleetAsk
from engine.calibrate.fleet.estimates import MET_SHARE, Slots
from engine.calibrate.fleet.tally import HourTally
from engine.calibrate.metrics import Histogram

SCHEMA = "costadvisor.fleet/1"


@dataclass(frozen=True, slots=True)
class Latency:
    """In milliseconds. A percentile is None when too few requests finished to show one."""

    n: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> "Latency":
        quantiles = (histogram.percentile(quantile) for quantile in (0.50, 0.95, 0.99))
        return cls(histogram.n, histogram.mean, *quantiles)


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that arrived in an hour's counted window, or in all; shares are of `attempted`, which leaves out what
    overflowed.

    `wait_s` is the mean over requests until a replica began with them, `queue_mean` the mean over time of how many
    waited, `queue_max` what an arrival found, itself counted. `utilization` is the share of ready replicas' time in
    which they computed.
    """

    arrived: int
    overflowed: int
    attempted: int
    finished: int
    resent: int
    overflow_share: float | None
    ttft_met_share: float | None
    tpot_met_share: float | None
    slo_met_share: float | None
    ttft_ms: Latency
    tpot_ms: Latency
    wait_s: float | None
    queue_mean: float
    queue_max: int
    utilization: float | None
    replicas_mean: float  # ready
    replica_hours_billed: float

    @property
    def slo_met(self) -> bool | None:
        """Whether 95 of 100 met each limit."""
        if self.ttft_met_share is None or self.tpot_met_share is None:
            return None
        return min(self.ttft_met_share, self.tpot_met_share) >= MET_SHARE

    @classmethod
    def of(cls, hour: HourTally, counted_s: float) -> "Served":
        attempted = hour.attempted
        return cls(
            arrived=hour.arrived,
            overflowed=hour.overflowed,
            attempted=attempted,
            finished=hour.finished,
            resent=hour.resent,
            overflow_share=_share(hour.overflowed, hour.arrived),
            ttft_met_share=_share(hour.ttft_met, attempted),
            tpot_met_share=_share(hour.tpot_met, attempted),
            slo_met_share=_share(hour.slo_met, attempted),
            ttft_ms=Latency.of(hour.ttft_ms),
            tpot_ms=Latency.of(hour.tpot_ms),
            wait_s=_share(hour.waiting_s, attempted),
            queue_mean=hour.waiting_s / counted_s,
            queue_max=hour.queue_max,
            utilization=_share(hour.busy_s, hour.ready_s),
            replicas_mean=hour.ready_s / counted_s,
            replica_hours_billed=hour.billed_h,
        )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the quick estimates say of one hour: how many replicas it takes, and how the replicas that were there
    (rounded) would do by Erlang C, whose mean wait is None where it grows without end."""

    fluid_replicas: int
    erlang_c_replicas: int | None
    erlang_c_ttft_met_share: float
    erlang_c_wait_s: float | None


@dataclass(frozen=True, slots=True)
class Hour:
    """`hour` counts from Monday 00:00 UTC, or from a trace's first arrival; its rate is the one asked for."""

    hour: int
    requests_per_s: float
    served: Served
    estimate: Estimate

    @property
    def replicas(self) -> int:
        """That were ready, rounded: what the estimates are asked about."""
        return max(1, round(self.served.replicas_mean))


@dataclass(frozen=True, slots=True)
class Compared:
    """One method over all hours with traffic. `replica_hours`: what it would buy, or what was billed. `hours_missed`:
    for the fluid estimate those that need more replicas than were there, for Erlang C those in which fewer than 95 of
    100 get their first token in time, for the simulation those that miss either limit. `hours_otherwise` are judged
    otherwise than by the simulation."""

    method: Literal["fluid", "erlang_c", "simulated"]
    replica_hours: float | None
    hours_missed: int
    hours_otherwise: int
    ttft_met_share: float | None
    tpot_met_share: float | None
    wait_s: float | None


@dataclass(frozen=True, slots=True)
class FleetResult:
    """Of each hour `counted_s_per_hour` were counted, after `warm_in_s` that were only simulated."""

    record_sha256: str | None
    ask: FleetAsk
    counted_s_per_hour: float
    warm_in_s: float
    ttft_p95_ms: float  # the limits
    tpot_p95_ms: float
    plan_requests_per_s: float
    slots: Slots
    lost_replicas: int
    total: Served
    hours: tuple[Hour, ...]
    compared: tuple[Compared, ...]

    def to_json(self) -> str:
        """Canonical: keys sorted, no spaces, no NaN. The same question gives the same bytes."""
        plain: dict[str, Any] = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
