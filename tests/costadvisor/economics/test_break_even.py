"""The staircase: half-open intervals, exact on the steps, checked against pricing whole cases on both sides."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.economics import Evaluation
from costadvisor.economics.evaluation import BreakEven
from tests.costadvisor.economics.cases import answer, api, fleet, month_usd

STEP = 4 * 730 * 3600


def month_1(found: Evaluation) -> BreakEven:
    return next(even for even in found.break_even if even.basis == "month_1")


def is_cheaper(options: tuple[dict[str, Any], ...], workload: dict[str, Any], requests: float) -> bool:
    found = answer(*options, workload=workload | {"requests_per_month": requests}, draws=1)
    return month_usd(found, "h100") < month_usd(found, "today")


def test_intervals_are_half_open_at_a_step() -> None:
    """At a step's upper end the fleet still has n replicas; just above it needs one more."""
    options = (api(), fleet(usd_per_hour="3", scaling={"spare_replicas": 1}))
    first, *_ = month_1(answer(*options)).intervals
    assert first.to_requests_per_month == pytest.approx(STEP * 4, rel=1e-8)
    assert is_cheaper(options, {}, STEP * 4)
    assert not is_cheaper(options, {}, STEP * 4 * 1.001)
    assert not is_cheaper(options, {}, first.from_requests_per_month * 0.999)
    assert is_cheaper(options, {}, first.from_requests_per_month * 1.001)


def test_small_gaps_are_merged_and_intervals_end_at_twenty() -> None:
    # A full replica costs 0.99 of what it displaces: gaps shrink below 1 % only after a hundred steps.
    usd_per_hour = f"{0.00027 * 4 * 3600 * 0.99:.6f}"
    found = month_1(answer(api(), fleet(usd_per_hour=usd_per_hour)))
    assert len(found.intervals) == 20
    assert found.always_from_api_usd_per_month is not None
    last = found.intervals[-1].to_api_usd_per_month
    assert last is not None
    assert found.always_from_api_usd_per_month > last
    assert ", with gaps up to $" in found.message


def test_max_replicas_end_the_range() -> None:
    found = month_1(answer(api(), fleet(usd_per_hour="1", scaling={"max_replicas": 2})))
    assert found.always_from_api_usd_per_month is None
    assert found.intervals[-1].to_requests_per_month == pytest.approx(2 * STEP, rel=1e-8)
    assert found.message.startswith("Cheaper than gpt-4o-mini at openai between $")


def test_never_within_the_range_is_not_never() -> None:
    """A fleet that would pay if it were larger than $10M of API spend."""
    found = month_1(answer(api(), fleet(operations={"usd_per_month": "20000000"})))
    assert not found.never
    assert found.intervals == ()
    assert "anywhere from $10 to $10M of API spend a month" in found.message


def test_the_horizon_counts_setup_and_drift() -> None:
    operations = {"setup_usd": "50000", "fte": 0.1, "usd_per_fte_year": "120000"}
    falling = {"api_price_per_year": -0.5, "gpu_price_per_year": 0}
    month, horizon = answer(api(), fleet(usd_per_hour="1", operations=operations), drift=falling).break_even
    assert (month.basis, horizon.basis) == ("month_1", "horizon")
    assert horizon.intervals[0].from_api_usd_per_month > month.intervals[0].from_api_usd_per_month
    # At $2.50 an hour a falling API price alone decides: month 1 has a break-even, the horizon never.
    month, horizon = answer(api(), fleet(operations=operations), drift=falling).break_even
    assert (month.never, horizon.never) == (False, True)


@pytest.mark.parametrize("factor", [0.9999, 1.0001])
def test_the_horizon_agrees_with_the_total_cost(factor: float) -> None:
    options = (api(), fleet(operations={"setup_usd": "50000"}))
    growing = {"growth_per_month": 0.03}
    horizon = answer(*options, workload=growing).break_even[1]
    requests = horizon.intervals[0].from_requests_per_month * factor
    found = answer(*options, workload=growing | {"requests_per_month": requests}, draws=1)
    npv = next(option.npv_usd for option in found.options if option.id == "h100")
    assert npv is not None
    assert (npv.point > 0) == (factor > 1)


shapes = st.one_of(
    st.just("flat"),
    st.fixed_dictionaries({"peak_to_mean": st.floats(1, 6)}),
    st.lists(st.integers(0, 9), min_size=24, max_size=24).filter(any).map(lambda day: day * 7),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=shapes,
    policy=st.sampled_from(["fixed", "scheduled"]),
    usd_per_hour=st.floats(0.5, 6),
    spare=st.integers(0, 2),
    minimum=st.integers(1, 3),
    people=st.integers(0, 5000),
    batchable=st.sampled_from([0, 0.3]),
    cold_start_s=st.sampled_from([0, 600]),
    position=st.floats(0.001, 0.999),
)
def test_intervals_agree_with_direct_evaluation(
    shape: Any,
    policy: str,
    usd_per_hour: float,
    spare: int,
    minimum: int,
    people: int,
    batchable: float,
    cold_start_s: int,
    position: float,
) -> None:
    scaling = {
        "policy": policy,
        "spare_replicas": spare,
        "min_replicas": minimum,
        "cold_start_s": cold_start_s,
        "headroom": 0.1,
    }
    operations = {"usd_per_month": str(people)}
    options = (api(), fleet(usd_per_hour=f"{usd_per_hour:.4f}", scaling=scaling, operations=operations))
    workload = {"hourly_shape": shape, "batchable_share": batchable}
    found = month_1(answer(*options, workload=workload))
    assert len(found.intervals) <= 20
    for interval in found.intervals[:4]:
        start = interval.from_requests_per_month
        assert is_cheaper(options, workload, start * (1 + 1e-8))
        if start > 10 / 0.00027 * 1.01:
            assert not is_cheaper(options, workload, start * 0.99999)
    for before, after in list(zip(found.intervals, found.intervals[1:], strict=False))[:3]:
        gap_start, gap_end = before.to_requests_per_month, after.from_requests_per_month
        assert gap_start is not None
        assert not is_cheaper(options, workload, gap_start + (gap_end - gap_start) * position)
