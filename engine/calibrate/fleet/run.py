"""From a question to its result: the simulation added up, with the quick estimates beside it."""

from collections.abc import Callable, Sequence

from engine.calibrate.fleet.arrivals import Traffic
from engine.calibrate.fleet.ask import FleetAsk, ReplicaModel
from engine.calibrate.fleet.estimates import (
    MET_SHARE,
    Slots,
    erlang_c_replicas,
    fluid_replicas,
    mean_wait_s,
    ttft_share,
)
from engine.calibrate.fleet.result import Compared, Estimate, FleetResult, Hour, Served
from engine.calibrate.fleet.simulation import Simulation
from engine.calibrate.fleet.tally import HourTally
from engine.errors import InputError


def simulate_fleet(
    model: ReplicaModel,
    ask: FleetAsk,
    traffic: Traffic,
    mean_lengths: tuple[float, float],
    record_sha256: str | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> FleetResult:
    """Run a fleet; `mean_lengths` are the mean input and output tokens that Erlang C is told. Raises InputError for
    traffic with requests that a replica can't hold."""
    _refuse_too_long(model, traffic)
    tally = Simulation(model, ask, traffic, progress).run()
    slots, timeline = Slots.of(model, mean_lengths), traffic.timeline
    hours = []
    for number, (rate, sums) in enumerate(zip(traffic.requests_per_s, tally.hours, strict=True)):
        served = Served.of(sums, timeline.window_s)
        hours.append(Hour(number, rate, served, _estimate(model, ask, slots, rate, served)))
    total = Served.of(HourTally.sum(tally.hours), timeline.window_s * timeline.hours)
    return FleetResult(
        record_sha256=record_sha256,
        ask=ask,
        counted_s_per_hour=timeline.window_s,
        warm_in_s=timeline.warm_in_s,
        ttft_p95_ms=model.slo.ttft_p95_ms,
        tpot_p95_ms=model.slo.tpot_p95_ms,
        plan_requests_per_s=model.plan_requests_per_s,
        slots=slots,
        lost_replicas=tally.lost_replicas,
        total=total,
        hours=tuple(hours),
        compared=_compared(hours, total),
    )


def _refuse_too_long(model: ReplicaModel, traffic: Traffic) -> None:
    config, longest = model.config, traffic.longest
    most = min(config.max_model_len, (config.num_blocks - 1) * config.block_size)
    if longest.total > most:
        raise InputError(
            f"the traffic's longest request has {longest.input} tokens in and {longest.output} out; "
            f"the record's engine holds {most} of one request"
        )


def _estimate(model: ReplicaModel, ask: FleetAsk, slots: Slots, rate: float, served: Served) -> Estimate:
    replicas = max(1, round(served.replicas_mean))
    wait_s = mean_wait_s(replicas * slots.slots, rate, slots.service_s)
    return Estimate(
        fluid_replicas=fluid_replicas(rate, model.plan_requests_per_s, ask.headroom),
        erlang_c_replicas=erlang_c_replicas(slots, rate, model.slo),
        erlang_c_ttft_met_share=ttft_share(slots, replicas, rate, model.slo),
        erlang_c_wait_s=wait_s if wait_s < float("inf") else None,
    )


def _compared(hours: Sequence[Hour], total: Served) -> tuple[Compared, ...]:
    judged = [hour for hour in hours if hour.served.slo_met is not None]
    fluid = _judge(judged, lambda hour: hour.estimate.fluid_replicas > hour.replicas)
    erlang = _judge(judged, lambda hour: hour.estimate.erlang_c_ttft_met_share < MET_SHARE)
    simulated = _judge(judged, lambda hour: hour.served.slo_met is False)
    shares = [hour.estimate.erlang_c_ttft_met_share for hour in judged]
    return (
        Compared("fluid", sum(hour.estimate.fluid_replicas for hour in hours), *fluid, None, None, None),
        Compared(
            "erlang_c",
            _sum([hour.estimate.erlang_c_replicas for hour in hours]),
            *erlang,
            _mean(judged, shares),
            None,
            _mean(judged, [hour.estimate.erlang_c_wait_s for hour in judged]),
        ),
        Compared(
            "simulated",
            total.replica_hours_billed,
            *simulated,
            total.ttft_met_share,
            total.tpot_met_share,
            total.wait_s,
        ),
    )


def _judge(hours: Sequence[Hour], misses: Callable[[Hour], bool]) -> tuple[int, int]:
    """How many hours miss the SLO by a method, and of how many the simulation says otherwise."""
    missed = [misses(hour) for hour in hours]
    otherwise = sum(miss == hour.served.slo_met for miss, hour in zip(missed, hours, strict=True))
    return sum(missed), otherwise


def _sum(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _mean(hours: Sequence[Hour], values: Sequence[float | None]) -> float | None:
    """Over requests; None where one hour's is unknown."""
    known = [(hour.served.attempted, value) for hour, value in zip(hours, values, strict=True) if value is not None]
    requests = sum(count for count, _ in known)
    return sum(count * value for count, value in known) / requests if known and len(known) == len(hours) else None
