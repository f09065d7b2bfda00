"""Demand, fleets, months: what a case costs at its own values."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from costadvisor.economics import CaseError, case_bytes, evaluate, parse_case
from costadvisor.economics.demand import batch_moved, stretched, week_weights
from costadvisor.economics.evaluation import Replicas
from costadvisor.economics.levelized import levelized_usd_per_mtok
from tests.costadvisor.economics.cases import answer, api, case, fleet, month_usd, row

ONE_REPLICA = 4 * 730 * 3600


def replicas(found: Any, id_: str = "h100") -> Replicas:
    size = row(found, id_).replicas
    assert size is not None
    return size


def weights(**workload: Any) -> Any:
    return week_weights(parse_case(case(api(), workload=workload)).workload.hourly_shape)


@pytest.mark.parametrize("ratio", [1, 1.3, 2.2, 5, 20])
def test_a_day_peaks_at_14_with_the_ratio_asked_for(ratio: float) -> None:
    week = weights(hourly_shape={"peak_to_mean": ratio})
    assert week.mean() == pytest.approx(1)
    assert week.max() == pytest.approx(ratio)
    assert ratio == 1 or int(week.argmax()) == 14
    assert week[:24] == pytest.approx(week[24:48])


def test_stretching_keeps_the_mean_and_moves_the_peak() -> None:
    factors = np.array([0.85, 1.0, 1.2, 1.5])
    for ratio in (2, 3, 5):
        week = weights(hourly_shape={"peak_to_mean": ratio})
        found = stretched(week, factors)
        assert found.mean(axis=1) == pytest.approx(np.ones(4), rel=1e-12)
        assert found.max(axis=1) == pytest.approx(ratio * factors, rel=1e-12)
        assert found.min() >= 0
        assert found[1] == pytest.approx(week)
    # One hour a day cannot hold more than the whole day.
    (all_at_once,) = stretched(weights(hourly_shape={"peak_to_mean": 20}), np.array([1.5]))
    assert (all_at_once.mean(), all_at_once.max()) == (pytest.approx(1, rel=1e-12), pytest.approx(24))
    assert stretched(np.ones(168), np.array([1.5]))[0] == pytest.approx(np.full(168, 1.5))


def test_batchable_requests_fill_the_emptiest_hours_of_their_day() -> None:
    week = np.tile([0.0] * 12 + [2.0] * 12, 7)
    (quarter,) = batch_moved(week[None, :], np.array([0.25]))
    assert quarter[:24] == pytest.approx([0.5] * 12 + [1.5] * 12)
    (all_of_it,) = batch_moved(week[None, :], np.array([1.0]))
    assert all_of_it == pytest.approx(np.ones(168))


def test_batchable_requests_need_fewer_replicas() -> None:
    busy = {"requests_per_month": ONE_REPLICA * 0.95, "hourly_shape": {"peak_to_mean": 2}}
    assert replicas(answer(api(), fleet(), workload=busy)).max == 2
    assert replicas(answer(api(), fleet(), workload=busy | {"batchable_share": 1})).max == 1


def test_a_demand_served_exactly_needs_no_further_replica() -> None:
    assert replicas(answer(api(), fleet(), workload={"requests_per_month": 3 * ONE_REPLICA})).max == 3
    assert replicas(answer(api(), fleet(), workload={"requests_per_month": 3 * ONE_REPLICA + 100})).max == 4


def test_headroom_spares_and_minimum() -> None:
    scaling = {"headroom": 0.15, "spare_replicas": 2, "min_replicas": 1}
    found = answer(api(), fleet(scaling=scaling), workload={"requests_per_month": ONE_REPLICA * 1.8})
    assert replicas(found).max == math.ceil(1.8 * 1.15) + 2
    found = answer(api(), fleet(scaling={"min_replicas": 5, "spare_replicas": 1}))
    assert replicas(found).max == 6


def test_scheduled_replicas_follow_the_day_and_pay_each_start() -> None:
    """Twelve hours at one replica, twelve at three: two starts a day, 300 s each."""
    shape = ([0.5] * 12 + [1.5] * 12) * 7
    busy = {"requests_per_month": 2 * ONE_REPLICA, "hourly_shape": shape}
    scaling = {"policy": "scheduled", "cold_start_s": 300}
    found = answer(api(), fleet(scaling=scaling), workload=busy)
    assert replicas(found) == Replicas(min=1, mean=2, max=3)
    lines = {line.label: float(line.usd_per_month) for line in row(found, "h100").lines}
    assert lines["GPU rent"] == pytest.approx(2 * 730 * 2.5)
    assert lines["Cold starts"] == pytest.approx(14 * 730 / 168 * 300 / 3600 * 2.5)
    fixed = answer(api(), fleet(), workload=busy)
    assert month_usd(fixed, "h100") == pytest.approx(3 * 730 * 2.5)


@pytest.mark.parametrize(("burstiness", "derating"), [(2, 1), (1, 1), (0.5, 0.91), (0.25, 0.78), (0.75, 0.955)])
def test_bursty_traffic_derates_a_capacity_without_a_record(burstiness: float, derating: float) -> None:
    for share, extra in ((0.999, 0), (1.001, 1)):
        busy = {"requests_per_month": ONE_REPLICA * derating * share, "burstiness": burstiness}
        assert replicas(answer(api(), fleet(), workload=busy)).max == 1 + extra


def test_a_record_has_the_burstiness_in_it() -> None:
    recorded = fleet(capacity={"requests_per_s": 4, "low": 4, "high": 4, "record": "sha256:1"})
    busy = {"requests_per_month": ONE_REPLICA, "burstiness": 0.25}
    assert replicas(answer(api(), recorded, workload=busy)).max == 1


def test_fleets_are_planned_on_the_low_end_of_a_measurement() -> None:
    measured = fleet(capacity={"requests_per_s": 4, "low": 3.5, "high": 4.5, "grade": "B"})
    assert replicas(answer(api(), measured, workload={"requests_per_month": ONE_REPLICA})).max == 2


def test_tokens_per_second_go_by_this_models_tokens() -> None:
    """1,000 in at 1.2 and 200 out at 1.5 are 1,500 tokens a request."""
    ratio = {"input": 1.2, "output": 1.5}
    busy = {"requests_per_month": ONE_REPLICA}
    assert replicas(answer(api(), fleet(capacity={"tokens_per_s": 6000}, token_ratio=ratio), workload=busy)).max == 1
    assert replicas(answer(api(), fleet(capacity={"tokens_per_s": 5990}, token_ratio=ratio), workload=busy)).max == 2
    # A rate in requests is of this model's tokens already, and so is a share of reused prefix.
    plain = answer(api(), fleet(), workload=busy)
    carried = answer(api(), fleet(token_ratio=ratio, prefix_hit_share=0.5), workload=busy)
    assert month_usd(plain, "h100") == month_usd(carried, "h100")


def test_reconciliation_is_its_own_line() -> None:
    found = answer(api(reconciliation_factor=0.8))
    lines = {line.label: line.usd_per_month for line in row(found, "today").lines}
    assert lines["Billed against list price"] == Decimal(-54)
    assert month_usd(found, "today") == pytest.approx(270 * 0.8)


LONG = {
    "tiers": [
        {
            "over_input_tokens": 1500,
            "input_usd_per_mtok": "0.30",
            "cached_input_usd_per_mtok": "0.15",
            "output_usd_per_mtok": "1.20",
        }
    ]
}


def test_long_context_tiers_go_by_the_distribution_of_lengths() -> None:
    """Half the requests have 500 tokens and half 1,500.1: three quarters of the input, half of the output."""
    histogram = [{"tokens": 500, "share": 0.5}, {"tokens": 1500.1, "share": 0.5}]
    spread = {"input_tokens": {"mean": 1000.05, "histogram": histogram}}
    found = answer(api(prices=LONG), workload=spread)
    assert month_usd(found, "today") == pytest.approx(500 * 0.15 / 2 + 1500.1 * 0.30 / 2 + 60 + 120)
    by_mean = answer(api(prices=LONG))
    assert month_usd(by_mean, "today") == pytest.approx(270)
    assert any("mean request" in text for text in by_mean.limitations)


def test_writing_to_the_cache_has_a_price_of_its_own() -> None:
    """Of 1,000 input tokens 500 are read from the cache, 300 written to it at 1.25 times, 200 neither."""
    workload = {"cached_input_share": 0.5, "cache_write_input_share": 0.3}
    found = answer(api(prices={"cache_write_usd_per_mtok": "0.1875"}), workload=workload)
    assert month_usd(found, "today") == pytest.approx(200 * 0.15 + 500 * 0.075 + 300 * 0.1875 + 120)
    # Where the provider lists none, what is written is input.
    assert month_usd(answer(api(), workload=workload), "today") == pytest.approx(500 * 0.15 + 37.5 + 120)
    free = api(prices={"cache_write_usd_per_mtok": "0"})
    assert month_usd(answer(free, workload=workload), "today") == pytest.approx(30 + 37.5 + 120)
    parsed = parse_case(case(free, workload=workload))
    assert parse_case(case_bytes(parsed).decode()) == parsed


@pytest.mark.parametrize(("start", "end"), [(16, 24), (16, 4), (0, 24)])
def test_time_of_day_prices_go_by_the_demand_of_their_hours(start: int, end: int) -> None:
    """Twelve hours at 0.5 and twelve at 1.5; the window may run over midnight."""
    shape = ([0.5] * 12 + [1.5] * 12) * 7
    window = {"from_hour_utc": start, "to_hour_utc": end, "price_factor": 0.5}
    found = answer(api(prices={"windows": [window]}), workload={"hourly_shape": shape})
    inside = sum(shape[h] for h in range(24) if (start <= h < end if start < end else h >= start or h < end)) / 24
    assert month_usd(found, "today") == pytest.approx(270 * (1 - inside * 0.5))
    assert found.checks[-1].ok


def test_totals_discount_growth_and_drift_by_hand() -> None:
    found = answer(
        api(),
        horizon_months=3,
        discount_rate_per_year=0.1,
        drift={"api_price_per_year": -0.2, "gpu_price_per_year": 0},
        workload={"growth_per_month": 0.05},
    )
    months = [270 * 1.05 ** (t - 1) * 0.8 ** ((t - 1) / 12) for t in (1, 2, 3)]
    total, plain = row(found, "today").tco_usd, row(found, "today").tco_undiscounted_usd
    assert total
    assert plain
    assert float(total.point) == pytest.approx(sum(usd / 1.1 ** (t / 12) for t, usd in enumerate(months, start=1)))
    assert float(plain.point) == pytest.approx(sum(months))


def test_npv_and_payback_against_the_baseline() -> None:
    """Saves $1,000 a month after $4,500 of setup: paid back in month 5, unless the horizon ends before."""
    busy = {"requests_per_month": 1_000_000 / 270 * 2825}
    options = (api(), fleet(usd_per_hour="2.50", operations={"setup_usd": "4500"}))
    found = answer(*options, workload=busy, discount_rate_per_year=0, horizon_months=12)
    own = row(found, "h100")
    assert own.npv_usd
    assert float(own.npv_usd.point) == pytest.approx(12 * 1000 - 4500, abs=0.01)
    assert own.payback_months == 5
    assert row(found, "today").payback_months is None
    assert row(answer(*options, workload=busy, horizon_months=4), "h100").payback_months is None


def test_payback_counts_only_what_lasts() -> None:
    """A saving that a growing fleet eats up again before the horizon is no payback."""
    busy = {"requests_per_month": ONE_REPLICA, "growth_per_month": 0.02}
    dear = fleet(usd_per_hour="3.8", scaling={"min_replicas": 1})
    found = answer(api(), dear, workload=busy, horizon_months=12, discount_rate_per_year=0)
    first_month = row(found, "h100").usd_per_month
    assert first_month
    assert first_month.point < month_usd(found, "today")
    assert row(found, "h100").payback_months is None


def test_the_levelized_price_paid_for_every_token_costs_the_same() -> None:
    growing = {"growth_per_month": 0.04}
    found = answer(api(), fleet(operations={"setup_usd": "9000"}), workload=growing)
    parsed = parse_case(case(api(), fleet(operations={"setup_usd": "9000"}), workload=growing))
    own = row(found, "h100")
    assert own.tco_usd
    assert own.tco_undiscounted_usd
    for total, discounted in ((own.tco_usd, True), (own.tco_undiscounted_usd, False)):
        price = levelized_usd_per_mtok(parsed, float(total.point), discounted=discounted)
        flat = {"input_usd_per_mtok": f"{price:.12f}", "output_usd_per_mtok": f"{price:.12f}"}
        same = row(answer(api(prices=flat), workload=growing), "today")
        equal = same.tco_usd if discounted else same.tco_undiscounted_usd
        assert equal
        assert float(equal.point) == pytest.approx(float(total.point), rel=1e-9)
    assert any("a million tokens cost: gpt-4o-mini at openai $0.225" in reason for reason in found.verdict.reasons)


UNRESOLVED = [
    ({"input_tokens": {"trace": "x"}}, (api(),), "/workload/input_tokens/trace"),
    ({}, (api() | {"prices": None},), "/options/today/prices"),
    ({}, (api(), fleet(hardware={"usd_per_hour": None})), "/options/h100/hardware/usd_per_hour"),
    ({}, (api(), fleet() | {"capacity": None}), "/options/h100/capacity"),
    ({}, (api(), fleet(capacity={"record": "r.json"})), "/options/h100/capacity/record"),
]


@pytest.mark.parametrize(("workload", "options", "path"), UNRESOLVED)
def test_what_is_not_resolved_is_named(workload: Any, options: Any, path: str) -> None:
    with pytest.raises(CaseError) as refused:
        evaluate(parse_case(case(*options, workload=workload)))
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("options", "workload", "path"),
    [
        ((api(prices={"input_usd_per_mtok": "150000"}),), {"requests_per_month": 1e12}, "/options/today"),
        ((api(), fleet(capacity={"requests_per_s": 1e-9})), {}, "/options/h100/capacity"),
        ((api(), fleet(usd_per_hour="999999999")), {}, "/options/h100"),
        ((api(),), {"growth_per_month": 1}, "/options/today"),
    ],
)
def test_a_slip_of_units_is_refused(options: Any, workload: Any, path: str) -> None:
    with pytest.raises(CaseError) as refused:
        answer(*options, workload=workload)
    assert refused.value.path == path
