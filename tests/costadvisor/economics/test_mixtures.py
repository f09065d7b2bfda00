"""Hybrids and routers: what they are made of, the replicas that pay, and what both parts must keep."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.economics import Evaluation, parse_case
from costadvisor.economics.evaluation import Hybrid
from costadvisor.economics.hybrid import planned_hybrid, planned_replicas
from costadvisor.economics.options import HybridOption
from tests.costadvisor.economics.cases import Json, answer, api, case, fleet, month_usd, row

MIX: Json = {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"}
ONE_REPLICA = 4 * 730 * 3600
# $2.00 an hour against $3.888 of API spend for an hour of full load.
BUSY: Json = {"requests_per_month": 3 * ONE_REPLICA, "hourly_shape": {"peak_to_mean": 2}}


def router(share: float = 0.6, **fields: Any) -> Json:
    return {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": share} | fields


def table(found: Evaluation) -> Hybrid:
    (hybrid,) = found.hybrid
    return hybrid


def tco(found: Evaluation, id_: str) -> float:
    spread = row(found, id_).tco_usd
    assert spread
    return float(spread.point)


def test_the_marginal_table_explains_the_number_of_replicas() -> None:
    found = answer(api(), fleet(usd_per_hour="2"), MIX, workload=BUSY)
    chosen = table(found)
    assert chosen.replicas >= 1
    alone, *rows = chosen.marginal
    assert float(alone.tco_usd) == pytest.approx(tco(found, "today"))
    assert [known.n for known in rows] == list(range(1, chosen.replicas + 4))
    for before, now in zip(chosen.marginal, rows, strict=False):
        step = float(now.costs_usd - now.displaces_usd) + float(now.fixed_usd - before.fixed_usd)
        assert float(now.tco_usd - before.tco_usd) == pytest.approx(step, abs=1e-4)
        assert (now.displaces_usd > now.costs_usd) == (now.n <= chosen.replicas)
    best = min(chosen.marginal, key=lambda known: known.tco_usd)
    assert best.n == chosen.replicas
    assert float(best.tco_usd) == pytest.approx(tco(found, "mix"))


def test_a_hybrid_by_hand() -> None:
    """Half the hours at 2 replicas' load and half at 0.2: the second replica displaces half of what the first does."""
    shape = ([2.0] * 12 + [0.2] * 12) * 7
    workload = {"requests_per_month": 1.1 * ONE_REPLICA, "hourly_shape": shape}
    found = answer(api(), fleet(usd_per_hour="1.9"), MIX, workload=workload)
    assert table(found).replicas == 2
    found = answer(api(), fleet(usd_per_hour="2"), MIX, workload=workload)
    assert table(found).replicas == 1
    full_hour_usd = 4 * 3600 * 0.00027
    assert month_usd(found, "mix") == pytest.approx(730 * 2 + 730 / 2 * full_hour_usd)
    size = row(found, "mix").replicas
    assert size
    assert (size.min, size.max) == (1, 1)
    assert row(found, "mix").utilization == pytest.approx(0.6)


def test_a_base_that_follows_the_day_applies_the_rule_hour_by_hour() -> None:
    shape = ([2.0] * 12 + [0.2] * 12) * 7
    workload = {"requests_per_month": 1.1 * ONE_REPLICA, "hourly_shape": shape}
    scaling = {"policy": "scheduled", "cold_start_s": 360}
    found = answer(api(), fleet(usd_per_hour="2", scaling=scaling), MIX, workload=workload)
    assert table(found).replicas == 2
    # By night a full replica would displace a fifth of what it could: one stays on, as min_replicas says.
    starts = 7 * 730 / 168 * 0.1
    assert month_usd(found, "mix") == pytest.approx((730 / 2 * 3 + starts) * 2)


def test_a_hybrid_that_does_not_pay_is_the_api_alone_and_not_ranked() -> None:
    found = answer(api(), fleet(usd_per_hour="4"), MIX, workload=BUSY)
    assert table(found).replicas == 0
    mix, today = row(found, "mix"), row(found, "today")
    assert mix.usd_per_month == today.usd_per_month
    assert mix.tco_usd == today.tco_usd
    assert mix.p_cheapest is None
    alone = "A base of Qwen3-8B on H100 with gpt-4o-mini at openai above it: no replica pays"
    assert any(text.startswith(alone) for text in found.limitations)
    assert next(even for even in found.break_even if even.option == "mix").never


def test_max_replicas_cap_a_base_and_refuse_nothing() -> None:
    capped = fleet(usd_per_hour="1", scaling={"max_replicas": 2})
    found = answer(api(), capped, MIX, workload=BUSY)
    assert table(found).replicas == 2
    assert row(found, "mix").allowed
    assert not row(found, "h100").allowed


bases = st.fixed_dictionaries(
    {
        "usd_per_hour": st.floats(0.5, 5),
        "people": st.integers(0, 3000),
        "setup": st.integers(0, 20_000),
        "minimum": st.integers(1, 2),
        "plan": st.sampled_from(["on_demand", "reserved_1y", "reserved_3y"]),
        "policy": st.sampled_from(["fixed", "scheduled"]),
        "growth": st.sampled_from([-0.02, 0.0, 0.03]),
        "mean_replicas": st.floats(0.01, 8),
        "peak": st.floats(1, 6),
    }
)


def hybrid_case(base: dict[str, Any]) -> Json:
    operations = {"usd_per_month": str(base["people"]), "setup_usd": str(base["setup"])}
    scaling = {"min_replicas": base["minimum"], "policy": base["policy"], "headroom": 0.1, "cold_start_s": 0}
    own = fleet(
        usd_per_hour=f"{base['usd_per_hour']:.4f}",
        operations=operations,
        scaling=scaling,
        hardware={"plan": base["plan"]},
    )
    workload = {
        "requests_per_month": base["mean_replicas"] * ONE_REPLICA,
        "hourly_shape": {"peak_to_mean": base["peak"]},
        "growth_per_month": base["growth"],
    }
    return case(api(), own, MIX, workload=workload, horizon_months=18, draws=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(base=bases)
def test_the_number_of_replicas_is_the_best_by_brute_force_and_never_dearer_than_the_api(base: dict[str, Any]) -> None:
    parsed = parse_case(hybrid_case(base))
    option = parsed.options[2]
    assert isinstance(option, HybridOption)
    chosen, shared = planned_replicas(parsed, option), planned_hybrid(parsed, option)
    alone = float(shared.total(shared.alone)[0])
    most = int(np.ceil(shared.loads.max() * shared.months.week.max())) + 2
    if shared.hour_by_hour:
        staff = float(shared.total(shared.staff)[0])
        totals = {
            n: staff + float(shared.total(found.own)[0] + shared.total(found.overflow)[0])
            for n in range(base["minimum"], most + 1)
            for found in [shared.following_the_day(n)]
        }
        best = min(totals.values())
        taken = float(shared.total(shared.own_and_overflow(np.ones(1)))[0]) if chosen else alone
    else:
        totals = {
            n: float(shared.total(shared.with_replicas(np.array([float(n)])))[0])
            for n in range(base["minimum"], most + 1)
        }
        best = min(totals.values())
        taken = totals[chosen] if chosen else alone
    assert taken == pytest.approx(min(best, alone), rel=1e-9)
    assert taken <= alone * (1 + 1e-12)


def test_a_router_is_its_two_parts_at_their_shares() -> None:
    found = answer(api(), fleet(), router(0.75), workload=BUSY)
    small = answer(api(), fleet(), workload=BUSY | {"requests_per_month": 0.75 * 3 * ONE_REPLICA})
    expected = month_usd(small, "h100") + 0.25 * month_usd(found, "today")
    assert month_usd(found, "router") == pytest.approx(expected)
    labels = [line.label for line in row(found, "router").lines]
    assert labels[0] == "Qwen3-8B on H100: GPU rent"
    assert "gpt-4o-mini at openai: Output tokens" in labels
    assert row(found, "router").replicas == row(small, "h100").replicas


def test_a_router_between_two_apis_is_an_api() -> None:
    cheap = {"input_usd_per_mtok": "0.02", "output_usd_per_mtok": "0.02"}
    small = api("small", baseline=False, prices=cheap)
    found = answer(api(), small, router(0.5, small="small"), fleet())
    assert month_usd(found, "router") == pytest.approx((270 + 24) / 2)
    assert not [even for even in found.break_even if even.option == "router"]
    assert row(found, "router").replicas is None


@pytest.mark.parametrize("option", [MIX, router()])
def test_both_parts_keep_the_constraints(option: Json) -> None:
    constraints = {"privacy": ["own_vpc"], "max_commitment_months": 6}
    base = fleet(privacy=["own_vpc"], hardware={"plan": "reserved_1y"})
    found = answer(api(), base, option, constraints=constraints)
    messages = [refusal.message for refusal in row(found, option["id"]).refusals]
    assert messages == [
        "Qwen3-8B on reserved H100: Commits for 12 months; at most 6 are wanted.",
        "gpt-4o-mini at openai: Required and not offered: our own cloud account.",
    ]
    kept = answer(api(privacy=["own_vpc"]), base, option, constraints={"privacy": ["own_vpc"]})
    assert row(kept, option["id"]).allowed


@pytest.mark.parametrize("option", [MIX, router()])
def test_a_mixture_on_no_capacity_has_no_cost(option: Json) -> None:
    found = answer(api(), fleet(capacity={"requests_per_s": 0}), option)
    mixture = row(found, option["id"])
    assert (mixture.allowed, mixture.usd_per_month, mixture.tco_usd) == (False, None, None)
    assert found.hybrid == ()
    assert found.checks[-1].ok


def test_verdicts_and_sentences_of_mixtures() -> None:
    found = answer(api(), fleet(usd_per_hour="1.2"), MIX, workload=BUSY)
    assert found.verdict.option == "mix"
    assert found.verdict.choice == "hybrid"
    assert "a base of Qwen3-8B on H100 with gpt-4o-mini at openai above it" in found.verdict.sentence
    dear = {"input_usd_per_mtok": "3", "output_usd_per_mtok": "15"}
    gate = {"min_quality": {"measure": "m", "reference": "today", "margin": 0.02}}
    scored: Json = {"quality": [{"measure": "m", "score": 0.9, "n": 4000}]}
    found = answer(api(prices=dear, **scored), fleet(**scored), router(), workload=BUSY, constraints=gate)
    assert row(found, "router").allowed


def test_hybrids_break_even_where_their_first_replica_pays() -> None:
    operations = {"usd_per_month": "1000"}
    options = (api(), fleet(usd_per_hour="2", operations=operations), MIX)
    found = answer(*options, workload=BUSY)
    even = next(known for known in found.break_even if known.option == "mix")
    assert (even.basis, even.never, len(even.intervals)) == ("horizon", False, 1)
    start = even.intervals[0].from_requests_per_month
    for factor, pays in ((0.9999, False), (1.0001, True)):
        at = answer(*options, workload=BUSY | {"requests_per_month": start * factor}, draws=1)
        assert (table(at).replicas > 0) == pays
