"""Constraints filter before cost ranks; each in success and in refusal."""

from typing import Any

import pytest

from costadvisor.economics.evaluation import Evaluation
from costadvisor.economics.quality import newcombe, wilson
from tests.costadvisor.economics.cases import answer, api, fleet, row


def codes(found: Evaluation, id_: str = "h100") -> list[str]:
    return [refusal.code for refusal in row(found, id_).refusals]


@pytest.mark.parametrize(
    ("required", "stated", "passes"),
    [
        (["no_training"], ["on_prem"], True),
        (["zero_retention", "no_training"], ["own_vpc"], True),
        (["own_vpc"], ["zero_retention"], False),
        (["on_prem"], ["own_vpc"], False),
        (["in_region"], ["on_prem"], False),
        (["in_region", "own_vpc"], ["in_region", "on_prem"], True),
        ([], [], True),
    ],
)
def test_privacy_and_what_it_implies(required: list[str], stated: list[str], passes: bool) -> None:
    found = answer(api(), fleet(privacy=stated), constraints={"privacy": required})
    assert codes(found) == ([] if passes else ["privacy"])


GATE = {"min_quality": {"measure": "set", "reference": "today", "margin": 0.05}}


def scored(score: float | None, n: int | None = 2000, reference_n: int | None = 2000) -> Evaluation:
    own = [] if score is None else [{"measure": "set", "score": score, "n": n}]
    today = api(quality=[{"measure": "set", "score": 0.80, "n": reference_n}])
    return answer(today, fleet(quality=own), constraints=GATE)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (scored(0.70), "worse than the margin"),
        (scored(0.80, n=50), "Too few samples"),
        (scored(0.74), "Too few samples"),
        (scored(None), "unknown for this option"),
        (scored(0.99, n=None), "How many samples"),
        (scored(0.99, reference_n=None), "How many samples"),
    ],
)
def test_a_quality_gate_is_not_passed(found: Evaluation, says: str) -> None:
    assert codes(found) == ["quality"]
    assert says in row(found, "h100").refusals[0].message
    assert row(found, "today").allowed


@pytest.mark.parametrize("score", [0.79, 0.80, 0.95])
def test_a_quality_gate_is_passed(score: float) -> None:
    assert codes(scored(score)) == []


def test_intervals_of_shares_are_the_published_ones() -> None:
    """Newcombe 1998: 56/70 against 48/80 gives 0.0524 to 0.3339 by method 10."""
    assert newcombe(56 / 70, 70, 48 / 80, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert wilson(0.0, 10)[0] == pytest.approx(0, abs=1e-12)


def test_slo_of_an_api_and_of_a_fleet() -> None:
    slo = {"ttft_p95_ms": 1000, "tpot_p95_ms": 50}
    slow = api("slow", baseline=False, latency={"ttft_p95_ms": 1500, "tpot_p95_ms": 40})
    quick = api("quick", baseline=False, latency={"ttft_p95_ms": 900, "tpot_p95_ms": 40})
    found = answer(api(), slow, quick, fleet(capacity={"requests_per_s": 0, "grade": "A"}), slo=slo)
    assert codes(found, "slow") == ["slo"]
    assert codes(found, "quick") == []
    assert codes(found) == ["slo"]
    # No rate, no cost: unknown, and never 0.
    assert row(found, "h100").usd_per_month is None
    assert row(found, "h100").tco_usd is None
    # An API whose latency nobody stated is not refused; the answer says that it is not known.
    assert codes(found, "today") == []
    assert any(
        text.startswith("gpt-4o-mini at openai (today): whether it meets the latency target")
        for text in found.limitations
    )


@pytest.mark.parametrize(("months", "expected"), [(12, []), (13, ["commitment"])])
def test_commitment(months: int, expected: list[str]) -> None:
    option = fleet(hardware={"commitment_months": months})
    assert codes(answer(api(), option, constraints={"max_commitment_months": 12})) == expected


def test_rate_limit_counts_the_busiest_hour_of_the_busiest_month() -> None:
    busy: dict[str, Any] = {"requests_per_month": 730 * 3600, "hourly_shape": {"peak_to_mean": 2}}
    assert codes(answer(api(rate_limit_requests_per_s=2.1), workload=busy), "today") == []
    assert codes(answer(api(rate_limit_requests_per_s=1.9), workload=busy), "today") == ["rate_limit"]
    growing = busy | {"growth_per_month": 0.01}
    assert codes(answer(api(rate_limit_requests_per_s=2.1), workload=growing), "today") == ["rate_limit"]


def test_max_replicas_hold_in_every_month_of_the_horizon() -> None:
    option = fleet(scaling={"max_replicas": 2, "spare_replicas": 1})
    workload = {"requests_per_month": 4 * 730 * 3600 * 0.9}
    assert codes(answer(api(), option, workload=workload)) == []
    found = answer(api(), option, workload=workload | {"growth_per_month": 0.05})
    assert codes(found) == ["max_replicas"]
    assert row(found, "h100").tco_usd is not None


def test_a_refused_option_keeps_its_price_but_not_its_chance() -> None:
    found = answer(api(), fleet(usd_per_hour="0.01"), constraints={"privacy": ["no_training"]})
    assert found.verdict.choice == "no_option_allowed"
    found = answer(api(privacy=["no_training"]), fleet(usd_per_hour="0.01"), constraints={"privacy": ["no_training"]})
    own = row(found, "h100")
    assert (own.allowed, own.p_cheapest) == (False, None)
    assert own.tco_usd is not None
    assert any(
        "Qwen3-8B on H100 is excluded by privacy and would cost about" in reason for reason in found.verdict.reasons
    )
