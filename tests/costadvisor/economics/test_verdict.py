"""Verdicts, their sentence, and the rule of thumb beside them."""

from typing import Any

import pytest

from tests.costadvisor.economics.cases import answer, api, fleet, row

CHEAP = {"input_usd_per_mtok": "0.02", "cached_input_usd_per_mtok": "0.02", "output_usd_per_mtok": "0.03"}
BUSY = {"requests_per_month": 200_000_000}


def test_keep_the_api() -> None:
    found = answer(api(), fleet(operations={"fte": 0.25}))
    assert (found.verdict.choice, found.verdict.option) == ("api", "today")
    assert found.verdict.sentence.startswith("Keep gpt-4o-mini at openai: about $")
    assert "100 %" not in found.verdict.sentence
    assert found.rule_of_thumb.zone == "below"
    assert found.rule_of_thumb.agrees is True


def test_rent_gpus() -> None:
    found = answer(api(), fleet(usd_per_hour="1.50"), workload=BUSY)
    assert (found.verdict.choice, found.verdict.option) == ("rented_gpu", "h100")
    assert found.verdict.sentence.startswith("Move to Qwen3-8B on H100: about $")
    assert "for gpt-4o-mini at openai today" in found.verdict.sentence
    assert found.rule_of_thumb.zone == "above"
    assert found.rule_of_thumb.agrees is True


def test_not_enough_evidence_says_what_to_learn_first() -> None:
    found = answer(
        api(), fleet(capacity={"requests_per_s": 4, "grade": "E"}), workload={"requests_per_month": 16_000_000}
    )
    assert found.verdict.confidence is not None
    assert found.verdict.confidence < 0.8
    assert found.verdict.choice == "not_enough_evidence"
    assert found.verdict.option in ("today", "h100")
    assert found.verdict.sentence.startswith("Not enough evidence to decide")
    assert found.verdict.measure_next[0].startswith("calibrate Qwen3-8B on H100, for about $40")
    assert found.rule_of_thumb.agrees is None


def test_siblings_cast_no_doubt_on_leaving_the_api() -> None:
    """Two fleets that cost about the same: which one is open, that it is one of them is not."""
    twins = (fleet("a", usd_per_hour="1.50"), fleet("b", usd_per_hour="1.51", hardware={"gpu": "H200"}))
    found = answer(api(), *twins, workload=BUSY)
    assert found.verdict.choice == "rented_gpu"
    assert found.verdict.confidence is not None
    assert found.verdict.confidence > 0.95
    shares = [row(found, id_).p_cheapest or 0 for id_ in ("a", "b")]
    assert max(shares) < 0.9
    assert sum(row(found, id_).p_cheapest or 0 for id_ in ("today", "a", "b")) == pytest.approx(1)
    sibling = "Of the options on our own GPUs the next is Qwen3-8B on H200"
    assert any(reason.startswith(sibling) for reason in found.verdict.reasons)


def test_no_option_allowed_says_what_each_relaxation_saves() -> None:
    constraints = {"privacy": ["on_prem"], "max_commitment_months": 3}
    bound = fleet(privacy=["on_prem"], hardware={"commitment_months": 12})
    found = answer(api(), bound, constraints=constraints)
    assert found.verdict.choice == "no_option_allowed"
    assert (found.verdict.option, found.verdict.confidence) == (None, None)
    privacy, commitment = sorted(found.verdict.reasons, key=lambda reason: "longest commitment" in reason)
    assert privacy.startswith("Relaxing privacy allows gpt-4o-mini at openai for about $")
    assert commitment.startswith("Relaxing the longest commitment allows Qwen3-8B on H100 for about $")
    assert commitment.endswith("more than gpt-4o-mini at openai today.")
    assert found.verdict.sentence.startswith("No option meets every constraint. Relaxing privacy")
    assert found.rule_of_thumb.agrees is None


def test_an_open_model_host_counts_as_an_api_of_open_weights() -> None:
    host = api("host", baseline=False, provider="deepinfra", model="Qwen3-8B", open_weights=True, prices=CHEAP)
    found = answer(api(), host, fleet())
    assert found.verdict.choice == "open_model_host"
    assert found.verdict.sentence.startswith("Move to Qwen3-8B at deepinfra")


@pytest.mark.parametrize(
    ("requests", "zone"), [(3_700_000, "below"), (3_710_000, "between"), (37_000_000, "between"), (37_100_000, "above")]
)
def test_zones_of_the_rule_of_thumb(requests: int, zone: str) -> None:
    """$0.00027 a request: $1,000 and $10,000 a month lie at 3.70M and 37.04M requests."""
    found = answer(api(), fleet(), workload={"requests_per_month": requests})
    assert found.rule_of_thumb.zone == zone


def test_the_rule_of_thumb_may_disagree() -> None:
    dear = {"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.60"}
    found = answer(api(prices=dear), fleet(usd_per_hour="50"), workload=BUSY)
    assert found.verdict.choice == "api"
    assert (found.rule_of_thumb.zone, found.rule_of_thumb.agrees) == ("above", False)


def test_the_floor_is_the_smallest_fleet_and_its_people() -> None:
    found = answer(api(), fleet(scaling={"spare_replicas": 1, "min_replicas": 2}, operations={"fte": 0.5}))
    assert float(found.rule_of_thumb.floor_usd_per_month or 0) == pytest.approx(3 * 2.5 * 730 + 0.5 * 200_000 / 12)


def test_a_case_without_a_fleet_or_without_an_api_is_answered_too() -> None:
    alone = answer(api())
    assert (alone.verdict.choice, alone.verdict.confidence) == ("api", 1.0)
    assert alone.break_even == ()
    assert alone.rule_of_thumb.floor_usd_per_month is None
    own: Any = answer(fleet(baseline=True))
    assert own.verdict.choice == "rented_gpu"
    assert own.verdict.sentence.startswith("Keep Qwen3-8B on H100")
    assert (own.rule_of_thumb.api_usd_per_month, own.rule_of_thumb.zone, own.rule_of_thumb.agrees) == (None, None, None)


def test_draws_beyond_max_replicas_are_lost_draws() -> None:
    """At the case's own values two replicas are enough; where volume doubles they are not."""
    workload = {"requests_per_month": 4 * 730 * 3600 * 1.9}
    dear = {"input_usd_per_mtok": "3", "output_usd_per_mtok": "15"}
    free = answer(api(prices=dear), fleet(), workload=workload)
    capped = answer(api(prices=dear), fleet(scaling={"max_replicas": 2}), workload=workload)
    assert free.verdict.confidence == 1.0
    assert capped.verdict.confidence is not None
    assert capped.verdict.confidence < 0.7
    assert any("may be had; those count as lost" in text for text in capped.limitations)


def test_a_fleet_alone_that_may_fall_short_says_so() -> None:
    found = answer(
        fleet(baseline=True, scaling={"max_replicas": 2}), workload={"requests_per_month": 4 * 730 * 3600 * 1.9}
    )
    assert found.verdict.confidence is not None
    assert found.verdict.confidence < 0.8
    assert found.verdict.choice == "rented_gpu"
    assert "there is no allowed API to compare it with, and in 88 % of draws it needs more" in found.verdict.sentence
    assert any("may be had; those count as lost" in text for text in found.limitations)


def test_every_evaluation_checks_itself() -> None:
    found = answer(api(), fleet(), api("host", baseline=False, prices=CHEAP))
    assert all(check.ok for check in found.checks)
    assert found.checks[-1].message == f"Checks {len(found.checks) - 1}/{len(found.checks) - 1} passed."
