"""What a fleet is made of, and what it is asked to do. Every limit is checked here, by the name of its flag."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from engine.calibrate.record import Record
from engine.calibrate.simulator import StepTime
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.config import SchedulerConfig
from engine.errors import InputError

RouterName = Literal["random", "round_robin", "least_outstanding"]
ENGINE_LIMITS = ("max_batch", "token_budget", "block_size", "num_blocks", "max_model_len")


@dataclass(frozen=True, slots=True)
class ReplicaModel:
    """One replica: what it holds, how long its steps take, and the rate it is planned with (λ_plan)."""

    config: SchedulerConfig
    step_ms: StepTime
    slo: Slo
    plan_requests_per_s: float

    @classmethod
    def from_record(cls, record: Record) -> "ReplicaModel":
        """Raises InputError, naming the field, for a record that nothing can be predicted from.

        Steps take longer than the model says by the machine's unsteadiness, so that they add up to what was measured.
        """
        rate, fit = record.derived.max_rate, record.derived.step_model
        if rate is None:
            raise InputError(
                f"derived.max_rate of the record is null ({record.derived.no_rate_because}); a fleet is simulated from "
                "a record with a rate"
            )
        if record.workload.prefix_hit_share:
            raise InputError(
                f"workload.prefix_hit_share of the record is {record.workload.prefix_hit_share:g}; a fleet's replicas "
                "share no prefixes yet, so that only a record with 0 will do"
            )
        if fit is None:
            raise InputError(
                "derived.step_model of the record is null; a fleet is simulated from a calibration of our own engine"
            )
        model = StepModel.read(fit.coefficients)
        return cls(
            config=_config(record),
            step_ms=partial(_slower, model, 1 + (fit.unsteadiness or 0.0)),
            slo=Slo(record.slo.ttft_p95_ms, record.slo.tpot_p95_ms, record.slo.preset),
            plan_requests_per_s=rate.low,
        )


def _slower(model: StepModel, factor: float, decode: int, prefill: int, context: int, pairs: int) -> float:
    return factor * model.ms(decode, prefill, context, pairs)


def _config(record: Record) -> SchedulerConfig:
    limits = {name: getattr(record.engine, name) for name in ENGINE_LIMITS}
    unknown = [name for name, value in limits.items() if value is None]
    if unknown:
        raise InputError(f"engine.{unknown[0]} of the record is null; the simulator needs it")
    return SchedulerConfig(**limits)


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """How many replicas there may be, and for how long fewer must have been enough before any is given back."""

    min_replicas: int
    max_replicas: int
    scale_down_hold_s: float = 300.0

    def __post_init__(self) -> None:
        _whole("--min-replicas", self.min_replicas, 0)
        _whole("--max-replicas", self.max_replicas, max(1, self.min_replicas))
        _least("--scale-down-hold-s", self.scale_down_hold_s, 0)


@dataclass(frozen=True, slots=True)
class FleetAsk:
    """`replicas` at the start, and all the time without `autoscaling`. A new one serves `scale_up_delay_s` after it was
    asked for, and is billed from then on, for `min_billing_s` at least. With `overflow_queue`, an arrival that finds so
    many requests waiting goes to an API. `spot_losses_per_hour` is of each replica."""

    replicas: int
    router: RouterName = "least_outstanding"
    autoscaling: Autoscaling | None = None
    scale_up_delay_s: float = 0.0
    min_billing_s: float = 0.0
    overflow_queue: int | None = None
    spot_losses_per_hour: float = 0.0
    headroom: float = 0.15  # as in the decision model
    seed: int = 0

    def __post_init__(self) -> None:
        scaling = self.autoscaling
        _whole("--replicas", self.replicas, 1 if scaling is None else scaling.min_replicas)
        if scaling is not None and self.replicas > scaling.max_replicas:
            raise InputError(f"--replicas is {self.replicas}; it must be at most --max-replicas {scaling.max_replicas}")
        if self.router not in get_args(RouterName):
            raise InputError(f"--router is {self.router!r}; it must be one of {', '.join(get_args(RouterName))}")
        if self.overflow_queue is not None:
            _whole("--overflow-queue", self.overflow_queue, 1)
        for name in ("scale_up_delay_s", "min_billing_s", "spot_losses_per_hour", "headroom"):
            _least("--" + name.replace("_", "-"), getattr(self, name), 0)
        _whole("--seed", self.seed, 0)


def _whole(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; it must be a whole number from {least} up")


def _least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise InputError(f"{name} is {value:g}; it must be a number from {least:g} up")
