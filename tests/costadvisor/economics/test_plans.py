"""Plans and policies of own GPUs, and provisioned units: what each costs, by hand."""

import math
from typing import Any

import numpy as np
import pytest

from costadvisor.economics import Evaluation
from costadvisor.economics.commitments import taken_on, within_term
from tests.costadvisor.economics.cases import CERTAIN, Json, answer, api, fleet, month_usd, row

ONE_REPLICA = 4 * 730 * 3600
PLAIN: Json = {"discount_rate_per_year": 0, "horizon_months": 36}
OWNED: Json = {"plan": "owned", "purchase_usd": "36000", "useful_life_months": 36}


def own(**hardware: Any) -> Json:
    return fleet(usd_per_hour="0", hardware=OWNED | hardware)


def plain_total(found: Evaluation, id_: str = "h100") -> float:
    spread = row(found, id_).tco_undiscounted_usd
    assert spread
    return float(spread.point)


def lines(found: Evaluation, id_: str = "h100") -> dict[str, float]:
    return {line.label: float(line.usd_per_month) for line in row(found, id_).lines}


def test_what_is_taken_on_stays_for_its_term() -> None:
    needed = np.array([[2.0, 1.0, 3.0, 1.0, 1.0, 1.0]])
    taken = taken_on(needed, 3)
    assert taken.tolist() == [[2, 0, 1, 0, 0, 1]]
    # Two for three months, one more from the third month to the fifth, one again from the sixth to the eighth.
    assert within_term(taken, 3).tolist() == [[2, 2, 3, 1, 1, 1, 1, 1]]
    assert taken_on(needed, 1).tolist() == needed.tolist()


@pytest.mark.parametrize(("plan", "term"), [("reserved_1y", 12), ("reserved_3y", 36)])
def test_a_reservation_is_paid_around_the_clock_and_to_its_end(plan: str, term: int) -> None:
    """Growth needs a second replica in the last month: it is paid past the horizon."""
    shape = ([0.5] * 12 + [1.5] * 12) * 7
    reserved = fleet(usd_per_hour="2", hardware={"plan": plan}, scaling={"policy": "scheduled"})
    level = {"requests_per_month": ONE_REPLICA / 1.5 * 0.9, "hourly_shape": shape}
    assert plain_total(answer(api(), reserved, workload=level, **PLAIN)) == pytest.approx(36 * 730 * 2)
    growing = level | {"growth_per_month": (1.0005 / 0.9) ** (1 / 35) - 1}
    found = answer(api(), reserved, workload=growing, **PLAIN)
    assert plain_total(found) == pytest.approx((36 + term) * 730 * 2)
    assert month_usd(found, "h100") == pytest.approx(730 * 2)


def test_a_reservation_holds_its_price_and_a_rent_drifts() -> None:
    drift = {"api_price_per_year": 0, "gpu_price_per_year": 0.2}
    rented, reserved = fleet(usd_per_hour="2"), fleet("r", usd_per_hour="2", hardware={"plan": "reserved_1y"})
    found = answer(api(), rented, reserved, drift=drift, **PLAIN)
    assert plain_total(found, "r") == pytest.approx(12 * 730 * 2 * (1 + 1.2 + 1.44))
    assert plain_total(found) == pytest.approx(sum(730 * 2 * 1.2 ** (t / 12) for t in range(36)))


def test_a_minimum_stay_is_a_commitment_too() -> None:
    stay = fleet(usd_per_hour="2", hardware={"commitment_months": 24})
    assert plain_total(answer(api(), stay, **PLAIN)) == pytest.approx(48 * 730 * 2)


def test_owned_hardware_is_cash_when_bought_and_sold_and_a_month_of_it_is_amortized() -> None:
    standing = {"power_kw": 1, "usd_per_kwh": "0.10", "pue": 1.5, "colocation_usd_per_month": "200"}
    found = answer(api(), own(residual_share=0.25, **standing), **PLAIN)
    assert lines(found) == {
        "Amortization": pytest.approx(750),
        "Power": pytest.approx(730 * 0.15),
        "Colocation": 200,
        "People": 0,
        "Tools and services": 0,
    }
    assert plain_total(found) == pytest.approx(27_000 + 36 * (730 * 0.15 + 200))
    discounted = answer(api(), own(residual_share=0.25), discount_rate_per_year=0.1)
    total = row(discounted, "h100").tco_usd
    assert total
    assert float(total.point) == pytest.approx(36_000 - 9_000 / 1.1**3)


def test_owned_replicas_are_the_running_maximum_and_wear_out() -> None:
    shrinking = {"requests_per_month": 2 * ONE_REPLICA, "growth_per_month": -0.05}
    assert plain_total(answer(api(), own(), workload=shrinking, **PLAIN)) == 72_000
    # After a life of 12 months each is bought again, as many as are needed by then: two, two and one.
    worn = answer(api(), own(useful_life_months=12), workload=shrinking, **PLAIN)
    assert plain_total(worn) == 5 * 36_000
    # A second one in month 2 is bought at the end of month 1, at that month's price.
    growing = {"requests_per_month": ONE_REPLICA, "growth_per_month": 0.001}
    dearer = answer(
        api(), own(), workload=growing, horizon_months=2, drift={"gpu_price_per_year": 0.5}, discount_rate_per_year=0.1
    )
    total = row(dearer, "h100").tco_usd
    assert total
    assert float(total.point) == pytest.approx(36_000 + 36_000 * 1.5 ** (1 / 12) / 1.1 ** (1 / 12))


def test_a_daily_window_pays_its_hours_and_starts() -> None:
    """Two hours a day for a day's work at four requests a second: ten hours of it need five replicas."""
    batch = {"requests_per_month": ONE_REPLICA * 10 / 24, "batchable_share": 1}
    scaling = {"policy": "window", "window_hours_per_day": 2, "cold_start_s": 360}
    found = answer(api(), fleet(scaling=scaling), workload=batch)
    assert lines(found)["GPU rent"] == pytest.approx(5 * 2 * 730 / 24 * 2.5)
    assert lines(found)["Cold starts"] == pytest.approx(5 * 0.1 * 730 / 24 * 2.5)
    assert row(found, "h100").utilization == pytest.approx(1)
    all_day = answer(api(), fleet(scaling=scaling | {"window_hours_per_day": 24}), workload=batch)
    assert month_usd(all_day, "h100") == pytest.approx(730 * 2.5)


@pytest.mark.parametrize("requests", [100, 10_000, 1_000_000])
def test_scale_to_zero_pays_far_more_than_busy_seconds_at_low_traffic(requests: float) -> None:
    """Poisson arrivals: on for the share 1 - exp(-rate (timeout + service)), and a start for each longer pause."""
    scaling = {"policy": "scale_to_zero", "idle_timeout_s": 300, "cold_start_s": 30}
    found = answer(api(), fleet(scaling=scaling), workload={"requests_per_month": requests})
    rate, on_s = requests / (730 * 3600), 300 + 1 / 4
    assert lines(found)["GPU rent"] == pytest.approx(730 * 2.5 * (1 - math.exp(-rate * on_s)))
    starts = requests * math.exp(-rate * on_s)
    assert lines(found).get("Cold starts", 0) == pytest.approx(starts * 30 / 3600 * 2.5, abs=1e-6)
    busy_usd = requests / 4 / 3600 * 2.5
    assert month_usd(found, "h100") > (100 if requests == 100 else 1) * busy_usd


def test_what_the_slo_allows_a_request_is_its_service() -> None:
    scaling = {"policy": "scale_to_zero", "idle_timeout_s": 0}
    slo = {"ttft_p95_ms": 1000, "tpot_p95_ms": 45}
    found = answer(api(), fleet(scaling=scaling), workload={"requests_per_month": 1000}, slo=slo)
    rate = 1000 / (730 * 3600)
    assert lines(found)["GPU rent"] == pytest.approx(730 * 2.5 * (1 - math.exp(-rate * 10)))


def test_keeping_warm_is_a_floor_without_cold_starts() -> None:
    scaling = {"policy": "scale_to_zero", "idle_timeout_s": 300, "cold_start_s": 30, "keep_warm": 2}
    found = answer(api(), fleet(scaling=scaling))
    assert lines(found)["GPU rent"] == pytest.approx(2 * 730 * 2.5)
    assert "Cold starts" not in lines(found)


def test_a_busy_scale_to_zero_is_a_fleet_that_follows_the_day() -> None:
    shape = ([0.5] * 12 + [1.5] * 12) * 7
    busy = {"requests_per_month": 20 * ONE_REPLICA, "hourly_shape": shape}
    zero = answer(api(), fleet(scaling={"policy": "scale_to_zero", "idle_timeout_s": 60}), workload=busy)
    scheduled = answer(api(), fleet(scaling={"policy": "scheduled"}), workload=busy)
    assert month_usd(zero, "h100") == pytest.approx(month_usd(scheduled, "h100"), rel=1e-6)


def test_verdicts_name_the_plan() -> None:
    cheap: Json = {"usd_per_hour": "0.20"}
    busy = {"requests_per_month": 20 * ONE_REPLICA}
    for plan, choice in (("serverless", "serverless_gpu"), ("spot", "rented_gpu"), ("reserved_3y", "rented_gpu")):
        assert answer(api(), fleet(hardware={"plan": plan}, **cheap), workload=busy).verdict.choice == choice
    owned = answer(api(), own(), workload=busy)
    assert owned.verdict.choice == "owned_gpu"
    assert "owned H100" in owned.verdict.sentence


def units(**fields: Any) -> Json:
    given = {"id": "ptu", "kind": "provisioned", "provider": "azure", "model": "gpt-4o-mini"}
    return given | {"usd_per_unit_hour": "1", "requests_per_s_per_unit": 1} | fields


def test_provisioned_units_are_whole_and_paid_for_the_peak() -> None:
    busy = {"requests_per_month": 2.5 * 730 * 3600, "hourly_shape": {"peak_to_mean": 2}}
    assert month_usd(answer(api(), units(), workload=busy), "ptu") == 5 * 730
    assert month_usd(answer(api(), units(min_units=15), workload=busy), "ptu") == 15 * 730
    assert plain_total(answer(api(), units(commitment_months=24), **PLAIN), "ptu") == pytest.approx(48 * 730)


def test_provisioned_units_are_an_api_and_keep_constraints() -> None:
    found = answer(
        api(), units(usd_per_unit_hour="0.01"), fleet(), uncertainty=CERTAIN, workload={"requests_per_month": 2e7}
    )
    assert found.verdict.choice == "provisioned"
    limits: Json = {"max_commitment_months": 12, "privacy": ["no_training"]}
    found = answer(api(), units(commitment_months=24), constraints=limits)
    assert [refusal.code for refusal in row(found, "ptu").refusals] == ["privacy", "commitment"]


def test_a_reserved_term_is_a_commitment() -> None:
    found = answer(api(), fleet(hardware={"plan": "reserved_3y"}), constraints={"max_commitment_months": 12})
    assert [refusal.code for refusal in row(found, "h100").refusals] == ["commitment"]


SPOT: Json = {"interruptions_per_month": 3, "unavailable_share": 0.25, "fallback_usd_per_hour": "4"}


def test_spot_falls_back_and_starts_again_after_an_interruption() -> None:
    scaling = {"cold_start_s": 3600}
    found = answer(api(), fleet(usd_per_hour="1", hardware={"plan": "spot", "spot": SPOT}, scaling=scaling), **PLAIN)
    assert month_usd(found, "h100") == pytest.approx(730 * (0.75 * 1 + 0.25 * 4) * (1 + 3 / 730))
    (rent, *_) = row(found, "h100").lines
    assert rent.formula == "1 replica x 730 h x (0.75 x $1.00 + 0.25 x $4.00) x (1 + 3 x 3,600 s / 3600 / 730 h)"
    assert plain_total(found) == pytest.approx(36 * month_usd(found, "h100"))
    unsaid = answer(api(), fleet(usd_per_hour="1", hardware={"plan": "spot"}))
    assert any("no spot machine is to be had" in text for text in unsaid.limitations)
