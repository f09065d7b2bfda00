"""A fleet's result as a person reads it in a terminal."""

from collections.abc import Iterator

from engine.calibrate.fleet.result import Compared, FleetResult, Latency, Served

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NAMES = {"fluid": "fluid", "erlang_c": "Erlang C", "simulated": "simulated"}
COLUMNS = ("replica-hours", "hours missed", "judged otherwise", "TTFT met", "TPOT met", "mean wait s")


def table(result: FleetResult, *, of_week: bool) -> str:
    """`of_week`: hour 0 is Monday's first, and not just the first."""
    return "\n".join([*_totals(result), "", *_grid(result, of_week=of_week), "", *_compared(result)])


def _totals(result: FleetResult) -> Iterator[str]:
    total, ask = result.total, result.ask
    router = ask.router.replace("_", " ")
    yield f"{len(result.hours)} hours, {ask.replicas} replicas at the start, {router}{_sample(result)}"
    yield (
        f"requests       {total.arrived:,} arrived, {total.overflowed:,} overflowed "
        f"({_percent(total.overflow_share)}), {total.finished:,} finished, {total.resent:,} sent again"
    )
    yield (
        f"SLO met        {_percent(total.slo_met_share)}: TTFT {_percent(total.ttft_met_share)} "
        f"(limit {result.ttft_p95_ms:g} ms), TPOT {_percent(total.tpot_met_share)} (limit {result.tpot_p95_ms:g} ms)"
    )
    yield f"TTFT ms        {_latency(total.ttft_ms)}"
    yield f"TPOT ms        {_latency(total.tpot_ms)}"
    yield f"queue          {total.queue_mean:.3g} on average, {total.queue_max:,} at most"
    yield (
        f"replicas       {total.replicas_mean:.2f} ready on average, computing {_percent(total.utilization)} of the "
        f"time, {total.replica_hours_billed:,.1f} replica-hours billed, {result.lost_replicas} lost"
    )


def _sample(result: FleetResult) -> str:
    if not result.warm_in_s:
        return ""
    return f"; a sample: {result.counted_s_per_hour:g} s of each hour, after {result.warm_in_s:g} s of warm-in"


def _grid(result: FleetResult, *, of_week: bool) -> Iterator[str]:
    yield "percent of requests that met the SLO, by hour (. no request)"
    yield "     " + "".join(f"{hour:4}" for hour in range(min(24, len(result.hours))))
    for first in range(0, len(result.hours), 24):
        day = first // 24
        name = DAYS[day % 7] if of_week else f"d{day + 1}"
        yield f"{name:5}" + "".join(_cell(hour.served) for hour in result.hours[first : first + 24])


def _cell(served: Served) -> str:
    """Rounded down, so that 100 means every one."""
    return "   ." if served.slo_met_share is None else f"{int(100 * served.slo_met_share):4}"


def _compared(result: FleetResult) -> Iterator[str]:
    fluid, erlang, simulated = result.compared
    yield f"{'':24}" + "".join(f"{name:>18}" for name in COLUMNS)
    for one in result.compared:
        yield _row(NAMES[one.method], _cells(one))
    for one in (fluid, erlang):
        yield _row(f"{NAMES[one.method]} - simulated", _differences(one, simulated))
    slots = result.slots
    yield (
        f"fluid: ceil(rate x {1 + result.ask.headroom:g} / {result.plan_requests_per_s:.3g} requests/s). "
        f"Erlang C: {slots.slots} slots a replica, {slots.service_s:.3g} s each."
    )


def _row(name: str, cells: list[str]) -> str:
    return f"{name:24}" + "".join(f"{cell:>18}" for cell in cells)


def _cells(one: Compared) -> list[str]:
    hours = "-" if one.replica_hours is None else f"{one.replica_hours:,.1f}"
    otherwise = "" if one.method == "simulated" else str(one.hours_otherwise)
    shares = [_percent(one.ttft_met_share), _percent(one.tpot_met_share)]
    return [hours, str(one.hours_missed), otherwise, *shares, "-" if one.wait_s is None else f"{one.wait_s:.4f}"]


def _differences(one: Compared, simulated: Compared) -> list[str]:
    missed = f"{one.hours_missed - simulated.hours_missed:+}"
    return [
        _difference(one.replica_hours, simulated.replica_hours, "{:+,.1f}"),
        missed,
        "",
        _difference(one.ttft_met_share, simulated.ttft_met_share, "{:+.1%}"),
        _difference(one.tpot_met_share, simulated.tpot_met_share, "{:+.1%}"),
        _difference(one.wait_s, simulated.wait_s, "{:+.4f}"),
    ]


def _difference(one: float | None, other: float | None, form: str) -> str:
    return "-" if one is None or other is None else form.format(one - other)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _latency(latency: Latency) -> str:
    parts = ((name, getattr(latency, name)) for name in ("mean", "p50", "p95", "p99"))
    return ", ".join(f"{name} {value:,.4g}" for name, value in parts if value is not None) or "no request finished"
