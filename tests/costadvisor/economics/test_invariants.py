"""What holds for every case with every kind of option, by hypothesis."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from costadvisor.economics import Evaluation, evaluate, parse_case
from costadvisor.economics.breakeven import running_usd
from costadvisor.economics.cashflow import monthly_usd, totals_by_id
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.ranking import rank
from costadvisor.economics.sampling import draw
from tests.costadvisor.economics.cases import Json, answer, api, case, fleet, month_usd, row

relaxed = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MIX: Json = {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"}
ROUTER: Json = {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": 0.6}
BREAKING_EVEN = ("h100", "owned", "reserved", "zero", "router")
KINDS = ("h100", "owned", "reserved", "zero", "ptu", "mix", "router")


def options(scale: float = 1.0, hourly: float = 2.0, **scaling: Any) -> list[Json]:
    """One of each kind, with every price times `scale`."""

    def usd(amount: float) -> str:
        return f"{amount * scale:.10f}"

    prices = {"input_usd_per_mtok": usd(0.15), "cached_input_usd_per_mtok": usd(0.075), "output_usd_per_mtok": usd(0.6)}
    team = {"fte": 0.1, "usd_per_fte_year": usd(100_000), "usd_per_month": usd(100), "setup_usd": usd(5000)}
    bought = {"purchase_usd": usd(30_000), "power_kw": 1, "usd_per_kwh": usd(0.1), "residual_share": 0.2}
    owned = {"plan": "owned", "gpu": "B"} | bought | {"colocation_usd_per_month": usd(150)}
    reserved, serverless = {"plan": "reserved_1y", "gpu": "C"}, {"plan": "serverless", "gpu": "D"}
    units = {"usd_per_unit_hour": usd(hourly / 4), "requests_per_s_per_unit": 1, "commitment_months": 3}
    return [
        api(prices=prices),
        fleet(usd_per_hour=usd(hourly), operations=team, scaling=scaling),
        fleet("owned", usd_per_hour=usd(0.01), hardware=owned, operations=team),
        fleet("reserved", usd_per_hour=usd(hourly * 0.7), hardware=reserved, operations=team),
        fleet("zero", usd_per_hour=usd(hourly * 2), hardware=serverless, scaling={"policy": "scale_to_zero"}),
        {"id": "ptu", "kind": "provisioned", "provider": "azure", "model": "m"} | units,
        MIX,
        ROUTER,
    ]


workloads = st.fixed_dictionaries(
    {
        "requests_per_month": st.floats(1e4, 3e8),
        "hourly_shape": st.one_of(st.just("flat"), st.fixed_dictionaries({"peak_to_mean": st.floats(1, 6)})),
        "batchable_share": st.sampled_from([0, 0.3]),
        "growth_per_month": st.sampled_from([-0.02, 0, 0.03]),
    }
)
FLAT: Json = {"requests_per_month": 1e4, "hourly_shape": "flat", "batchable_share": 0, "growth_per_month": 0}
policies = st.sampled_from([{}, {"policy": "scheduled", "cold_start_s": 100}, {"spare_replicas": 1, "headroom": 0.2}])


def tco(found: Evaluation, id_: str) -> float:
    spread = row(found, id_).tco_usd
    assert spread
    return float(spread.point)


@relaxed
@given(workload=workloads, scaling=policies, hourly=st.floats(0.2, 6))
def test_every_kind_passes_its_checks(workload: Json, scaling: Json, hourly: float) -> None:
    found = answer(*options(1, hourly, **scaling), workload=workload, draws=30, horizon_months=14)
    assert [check.message for check in found.checks if not check.ok] == []
    assert tco(found, "mix") <= tco(found, "today") * (1 + 1e-9)
    for option in found.options:
        assert option.utilization is None or 0 <= option.utilization <= 1 + 1e-9


@relaxed
@given(workload=workloads, more=st.floats(1, 20), hourly=st.floats(0.2, 6))
def test_costs_do_not_fall_with_volume(workload: Json, more: float, hourly: float) -> None:
    """A flatter week may need fewer starts, so nothing here has cold starts."""
    larger = workload | {"requests_per_month": workload["requests_per_month"] * more}
    few, many = (answer(*options(1, hourly), workload=load, draws=1, horizon_months=14) for load in (workload, larger))
    for id_ in ("today", *KINDS):
        assert tco(few, id_) <= tco(many, id_) * (1 + 1e-9)
    for id_ in set(KINDS) - {"mix"}:  # more base is less spent a month, and more at the start
        assert month_usd(few, id_) <= month_usd(many, id_) * (1 + 1e-9)


@relaxed
@given(workload=workloads, dearer=st.floats(1, 3), scaling=policies)
def test_costs_do_not_fall_with_prices(workload: Json, dearer: float, scaling: Json) -> None:
    cheap, dear = (
        answer(*options(scale, 2, **scaling), workload=workload, draws=1, horizon_months=14) for scale in (1, dearer)
    )
    for id_ in ("today", *KINDS):
        assert tco(cheap, id_) <= tco(dear, id_) * (1 + 1e-9)
        assert month_usd(cheap, id_) <= month_usd(dear, id_) * (1 + 1e-9)


@relaxed
@given(workload=workloads, scale=st.sampled_from([0.01, 0.5, 7.0, 150.0]), scaling=policies)
def test_another_currency_scales_money_and_nothing_else(workload: Json, scale: float, scaling: Json) -> None:
    given_usd, scaled = (
        answer(*options(times, 2, **scaling), workload=workload, draws=40, horizon_months=14) for times in (1, scale)
    )
    for one, other in zip(given_usd.options, scaled.options, strict=True):
        assert (one.replicas, one.p_cheapest) == (other.replicas, other.p_cheapest)
        assert one.payback_months == other.payback_months
        for field in ("usd_per_month", "tco_usd", "tco_undiscounted_usd", "npv_usd"):
            before, after = getattr(one, field), getattr(other, field)
            floor = 1e-9 * scale * float(one.tco_undiscounted_usd.point) if one.tco_undiscounted_usd else 0
            for name in ("point", "p10", "p50", "p90"):
                expected = float(getattr(before, name)) * scale
                assert float(getattr(after, name)) == pytest.approx(expected, rel=1e-6, abs=max(floor, 1e-6))


@relaxed
@given(workload=workloads, hourly=st.floats(0.2, 6))
def test_without_discount_a_total_is_the_plain_sum_of_its_cash(workload: Json, hourly: float) -> None:
    written = case(*options(1, hourly), workload=workload, draws=20, horizon_months=14, discount_rate_per_year=0)
    parsed = parse_case(written)
    found = evaluate(parsed)
    today = monthly_usd(parsed.options[0], parsed).sum()
    for option in parsed.options:
        known, cash = row(found, option.id), monthly_usd(option, parsed).sum()
        assert known.npv_usd
        assert known.tco_undiscounted_usd
        assert float(known.tco_undiscounted_usd.point) == pytest.approx(cash, rel=1e-9)
        assert tco(found, option.id) == pytest.approx(cash, rel=1e-9)
        assert float(known.npv_usd.point) == pytest.approx(today - cash, abs=1e-6 * (today + cash))


@relaxed
@given(workload=workloads, kept=st.sets(st.sampled_from(KINDS)), hourly=st.floats(0.2, 6))
def test_another_option_never_makes_the_best_worse(workload: Json, kept: set[str], hourly: float) -> None:
    """By expected total cost, which the choice goes by."""
    every = parse_case(case(*options(1, hourly), workload=workload, draws=40, horizon_months=14))
    totals = totals_by_id(every.options, draw(every, uncertain_inputs(every)))
    some = tuple(option for option in every.options if option.id in kept | {"today"})
    best, best_of_some = rank(every, every.options, totals), rank(every, some, totals)
    assert best
    assert best_of_some
    assert totals[best.best.id].tco_usd.mean() <= totals[best_of_some.best.id].tco_usd.mean()


@relaxed
@example(workload=FLAT, kind="router", hourly=3.0)  # a gap of 5 % between two of the evenly spread probes
@given(workload=workloads, kind=st.sampled_from(BREAKING_EVEN), hourly=st.floats(0.2, 5))
def test_break_evens_agree_with_a_fine_grid(workload: Json, kind: str, hourly: float) -> None:
    """Month 1: at 400 volumes from $10 to $10M of API spend, an interval is there exactly where it is cheaper.

    Gaps under 1 % are merged, only 20 intervals are listed, and a grid of its own may miss what is narrower than it.
    """
    level = workload | {"growth_per_month": 0}
    parsed = parse_case(case(*options(1, hourly), workload=level, draws=1, horizon_months=6))
    even = next(e for e in evaluate(parsed).break_even if e.option == kind and e.basis == "month_1")
    option = next(known for known in parsed.options if known.id == kind)
    volumes = np.geomspace(10.01, 9.99e6, 400) / 0.00027
    own, today = running_usd(parsed, option, volumes), running_usd(parsed, parsed.options[0], volumes)
    assert own is not None
    assert today is not None
    last = even.intervals[-1].to_requests_per_month if even.intervals else np.inf
    last = np.inf if last is None or even.always_from_api_usd_per_month is not None else last
    for volume, cheaper, near in zip(volumes, own < today, np.abs(own / today - 1) < 1e-6, strict=True):
        if near or (len(even.intervals) == 20 and volume > float(even.intervals[-1].from_requests_per_month)):
            continue
        listed = any(
            part.from_requests_per_month < volume <= (part.to_requests_per_month or np.inf) for part in even.intervals
        )
        merged = any(
            abs(volume / edge - 1) < 0.02
            for part in even.intervals
            for edge in (part.from_requests_per_month, part.to_requests_per_month or np.inf)
        ) or (listed and not cheaper and _in_a_merged_gap(parsed, option, volume))
        assert listed == cheaper or merged, (kind, volume)


def _in_a_merged_gap(parsed: Any, option: Any, volume: float) -> bool:
    """Whether it is cheaper again within 1 % on both sides."""
    around = np.concatenate([np.geomspace(volume * 0.985, volume, 60), np.geomspace(volume, volume * 1.015, 60)])
    own, today = running_usd(parsed, option, around), running_usd(parsed, parsed.options[0], around)
    assert own is not None
    assert today is not None
    cheaper = own < today
    return bool(cheaper[:60].any() and cheaper[60:].any())
