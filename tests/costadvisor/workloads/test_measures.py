"""What a trace tells: checked against series whose answer is known."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.workloads import measures
from costadvisor.workloads.requests import Requests

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)


def trace(arrivals: list[float], *, has_clock: bool = True) -> Requests:
    return made(sorted(arrivals), [(100, 10)] * len(arrivals), has_clock=has_clock)


def made(arrivals: list[float], lengths: list[tuple[int, int]], *, has_clock: bool = False) -> Requests:
    inputs, outputs = np.array(lengths, dtype=np.int64).T
    return Requests("Test trace", np.array(arrivals, dtype=float), inputs, outputs, has_clock)


def gamma_arrivals(shape: float, count: int) -> list[float]:
    generator, clock, arrivals = random.Random(7), 0.0, []
    for _ in range(count):
        clock += generator.gammavariate(shape, 3 / shape)  # a mean gap of 3 s
        arrivals.append(clock)
    return arrivals


@pytest.mark.parametrize("shape", [0.1, 0.25, 0.5, 1.0, 4.0])
def test_burstiness_is_the_gamma_shape_of_the_gaps(shape: float) -> None:
    assert measures.burstiness(trace(gamma_arrivals(shape, 20_000))) == pytest.approx(shape, rel=0.08)


def test_the_rise_and_fall_of_the_day_is_no_burstiness() -> None:
    """A Poisson stream whose rate is ten times higher in every second hour."""
    generator, arrivals = random.Random(3), []
    for hour in range(20):
        rate = 1.0 if hour % 2 else 0.1
        clock = hour * 3600.0
        while (clock := clock + generator.expovariate(rate)) < (hour + 1) * 3600:
            arrivals.append(clock)
    assert measures.burstiness(trace(arrivals)) == pytest.approx(1.0, rel=0.1)


def test_too_few_arrivals_say_nothing_of_burstiness() -> None:
    assert measures.burstiness(trace([1.0, 2.0, 4.0])) is None


def test_even_arrivals_are_as_steady_as_can_be_said() -> None:
    assert measures.burstiness(trace([float(second) for second in range(3000)])) == measures.BURSTINESS_RANGE[1]


def test_the_week_starts_on_monday_midnight_utc() -> None:
    counts = [(MONDAY + timedelta(hours=hour), 10 if hour % 168 == 25 else 1) for hour in range(2 * 168)]
    week = measures.week_weights(counts, MONDAY, MONDAY + timedelta(weeks=2))
    assert max(range(168), key=lambda hour: week[hour]) == 25  # Tuesday 01:00
    assert week[25] / week[0] == pytest.approx(10)
    assert sum(week) / 168 == pytest.approx(1)


@given(st.integers(0, 167), st.integers(168, 500))
def test_an_even_load_is_flat_wherever_the_record_starts_and_ends(offset: int, hours: int) -> None:
    start = MONDAY + timedelta(hours=offset)
    counts = [(start + timedelta(hours=hour), 5) for hour in range(hours)]
    week = measures.week_weights(counts, start, start + timedelta(hours=hours))
    assert week == pytest.approx((1.0,) * 168)


def test_a_trace_shorter_than_a_week_or_without_a_clock_has_no_week() -> None:
    eight_days = [hour * 3600.0 for hour in range(8 * 24)]
    assert measures.requests_week(trace(eight_days, has_clock=False)) is None
    assert measures.requests_week(trace(eight_days[:100])) is None
    assert measures.requests_week(trace(eight_days)) is not None


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 1000)), min_size=1, max_size=300))
def test_the_mix_keeps_the_mean_lengths(lengths: list[tuple[int, int]]) -> None:
    mix = measures.lengths_of(made([float(number) for number in range(len(lengths))], lengths), "test").mix
    assert sum(bucket.weight for bucket in mix) == pytest.approx(1)
    assert len(mix) <= 64
    for side in (0, 1):
        mean = sum(pair[side] for pair in lengths) / len(lengths)
        of_mix = sum((bucket.input, bucket.output)[side] * bucket.weight for bucket in mix)
        assert of_mix == pytest.approx(mean, abs=0.5)  # each bucket is rounded to whole tokens


def test_percentiles_are_of_the_nearest_rank() -> None:
    requests = made([float(number) for number in range(100)], [(number, 1) for number in range(1, 101)])
    lengths = measures.lengths_of(requests, "test")
    assert lengths.input_percentiles == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}


@pytest.mark.parametrize(
    ("requests", "growth"),
    [([100, 110, 121], 0.10), ([100, 100], 0.0), ([100, 50], -0.5), ([100], None), ([0, 5], None)],
)
def test_growth_is_fitted_to_the_logarithm(requests: list[int], growth: float | None) -> None:
    found = measures.monthly_growth(requests)
    assert (None if found is None else found.value) == (None if growth is None else pytest.approx(growth))


def test_the_interval_of_growth_holds_the_truth_nine_times_in_ten() -> None:
    """Six months that grow by 3 % with scatter, made a thousand times."""
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        logs = np.log(1e5) + np.log(1.03) * np.arange(6) + generator.normal(0, 0.05, 6)
        growth = measures.monthly_growth([round(count) for count in np.exp(logs)])
        assert growth is not None
        assert growth.low is not None
        assert growth.high is not None
        assert growth.low <= growth.value <= growth.high
        held += growth.low <= 0.03 <= growth.high
    assert held == pytest.approx(900, abs=30)


def test_a_long_table_of_months_has_the_normals_interval_and_two_months_have_none() -> None:
    even = measures.monthly_growth([100, 110])
    assert even is not None
    assert (even.low, even.high) == (None, None)
    many = measures.monthly_growth([1000 + 7 * (month % 3) for month in range(40)])
    assert many is not None
    assert many.low is not None
