"""Twelve things that published calculators get wrong; each test fails where ours would."""

import math

import pytest

from costadvisor.economics import CaseError, evaluate, parse_case
from tests.costadvisor.economics.cases import answer, api, case, fleet, month_usd, row

HALF_BUSY = {"requests_per_month": 4 * 0.5 * 730 * 3600}


def test_1_utilization_divides_tokens_and_never_multiplies_the_bill() -> None:
    full = answer(api(), fleet(), workload={"requests_per_month": 4 * 730 * 3600})
    half = answer(api(), fleet(), workload=HALF_BUSY)
    assert month_usd(full, "h100") == month_usd(half, "h100") == 2.5 * 730
    assert float(row(half, "h100").usd_per_mtok or 0) == pytest.approx(2 * float(row(full, "h100").usd_per_mtok or 0))


def test_2_a_break_even_beyond_capacity_is_never_or_more_replicas() -> None:
    dear = answer(api(), fleet(usd_per_hour="50", capacity={"requests_per_s": 0.1}))
    assert dear.break_even[0].never
    assert dear.break_even[0].intervals == ()
    # Spare replicas put the first break-even beyond what one serving replica can do.
    spared = answer(api(), fleet(usd_per_hour="2.5", scaling={"spare_replicas": 3})).break_even[0]
    first = spared.intervals[0]
    assert first.from_requests_per_month > 4 * 730 * 3600
    assert "replicas" in spared.message


def test_3_the_break_even_is_a_staircase() -> None:
    """A new replica costs more than the first requests on it bring, so there are gaps."""
    stairs = answer(api(), fleet(usd_per_hour="3", scaling={"spare_replicas": 1})).break_even[0]
    assert len(stairs.intervals) > 1
    for before, after in zip(stairs.intervals, stairs.intervals[1:], strict=False):
        assert before.to_requests_per_month is not None
        assert before.to_requests_per_month < after.from_requests_per_month
    assert stairs.always_from_api_usd_per_month == stairs.intervals[-1].from_api_usd_per_month


def test_4_a_rate_in_tokens_per_second_is_an_assumption_with_a_wide_range() -> None:
    found = answer(api(), fleet(capacity={"tokens_per_s": 4800}))
    assert next(known.grade for known in found.evidence if known.field == "/options/h100/capacity") == "E"
    assert any("input and output tokens alike" in text for text in found.limitations)


def test_5_input_and_output_tokens_have_their_own_prices() -> None:
    long_in = {"input_tokens": {"mean": 1000}, "output_tokens": {"mean": 200}}
    long_out = {"input_tokens": {"mean": 200}, "output_tokens": {"mean": 1000}}
    assert month_usd(answer(api(), workload=long_in), "today") == pytest.approx(150 + 120)
    assert month_usd(answer(api(), workload=long_out), "today") == pytest.approx(30 + 600)


def test_6_cache_and_batch_discounts_touch_only_their_share() -> None:
    plain = {"input_tokens": {"mean": 1000}, "output_tokens": {"mean": 200}}
    cached = answer(api(), workload=plain | {"cached_input_share": 0.5})
    assert month_usd(cached, "today") == pytest.approx(75 + 37.5 + 120)
    batched = answer(
        api(prices={"batch_discount": 0.5, "usd_per_request": "0.001"}), workload=plain | {"batchable_share": 0.2}
    )
    assert month_usd(batched, "today") == pytest.approx((150 + 120) * (1 - 0.2 * 0.5) + 1000)


def test_7_hours_per_month_come_from_the_case_and_nowhere_else() -> None:
    for hours in (720, 729.6, 730):
        found = answer(api(), fleet(), hours_per_month=hours)
        assert month_usd(found, "h100") == pytest.approx(2.5 * hours)
        assert row(found, "h100").gpu_hours_per_month == pytest.approx(hours)
        # As many hours in the rate as in the bill: the same requests keep fewer hours busier.
        assert row(found, "h100").utilization == pytest.approx(1_000_000 / (hours * 3600) / 4)


def test_8_the_fleet_is_sized_for_the_peak_hour() -> None:
    mean_fits_one = {"requests_per_month": 4 * 730 * 3600 * 0.9}
    flat = answer(api(), fleet(), workload=mean_fits_one)
    peaked = answer(api(), fleet(), workload=mean_fits_one | {"hourly_shape": {"peak_to_mean": 2.2}})
    assert month_usd(flat, "h100") == 2.5 * 730
    assert month_usd(peaked, "h100") == math.ceil(0.9 * 2.2) * 2.5 * 730


def test_9_a_small_model_does_not_pass_for_a_frontier_one() -> None:
    gate = {"min_quality": {"measure": "own set", "reference": "today", "margin": 0.02}}
    frontier = api(quality=[{"measure": "own set", "score": 0.90, "n": 1000}])
    small = fleet(usd_per_hour="0.01", quality=[{"measure": "own set", "score": 0.60, "n": 1000}])
    found = answer(frontier, small, constraints=gate)
    assert [refusal.code for refusal in row(found, "h100").refusals] == ["quality"]
    assert found.verdict.choice == "api"
    assert row(found, "h100").tco_usd is not None


def test_10_setup_counts_once() -> None:
    one_off = {"setup_usd": "25000"}
    found = answer(api(), fleet(operations=one_off), discount_rate_per_year=0, horizon_months=10)
    bare = answer(api(), fleet(), discount_rate_per_year=0, horizon_months=10)
    with_setup, without = row(found, "h100").tco_usd, row(bare, "h100").tco_usd
    assert with_setup
    assert without
    assert with_setup.point - without.point == 25_000
    assert month_usd(found, "h100") == month_usd(bare, "h100")


def test_11_the_open_model_host_is_an_option_of_its_own() -> None:
    cheap = {"input_usd_per_mtok": "0.02", "cached_input_usd_per_mtok": "0.02", "output_usd_per_mtok": "0.03"}
    host = api("host", baseline=False, open_weights=True, provider="deepinfra", prices=cheap)
    found = answer(api(), host, fleet())
    assert found.verdict.choice == "open_model_host"
    assert found.verdict.option == "host"
    # The fleet is held against the cheapest API too, not only against today's.
    assert {even.versus for even in found.break_even} == {"today", "host"}


def test_12_estimated_spend_is_not_called_billed() -> None:
    billed = {"grade": "A", "basis": "billed", "source": "invoice"}
    pointers = ("/workload/requests_per_month", "/options/today/reconciliation_factor")
    estimated = answer(api(), fleet())
    assert "(estimated)" in estimated.verdict.sentence
    assert any("no bill was compared" in text for text in estimated.limitations)
    known = answer(api(), fleet(), evidence=dict.fromkeys(pointers, billed))
    assert "(billed)" in known.verdict.sentence
    assert not any("no bill was compared" in text for text in known.limitations)


def test_a_missing_price_is_a_refusal_and_never_zero() -> None:
    written = case(api(prices={"cached_input_usd_per_mtok": None}), workload={"cached_input_share": 0.3})
    with pytest.raises(CaseError) as refused:
        evaluate(parse_case(written))
    assert refused.value.path == "/options/today/prices/cached_input_usd_per_mtok"
