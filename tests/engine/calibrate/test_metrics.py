"""Percentiles with their n, and histograms that can be merged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calibrate.level import RequestRow
from engine.calibrate.metrics import Histogram, nearest_rank, percentile, samples_needed

milliseconds = st.floats(min_value=0.01, max_value=1e6)


def test_a_percentile_is_not_shown_under_its_n() -> None:
    assert (samples_needed(0.95), samples_needed(0.99)) == (59, 299)
    assert percentile([1.0] * 58, 0.95) is None
    assert percentile([1.0] * 59, 0.95) == 1.0
    assert Histogram.of([1.0] * 298).percentile(0.99) is None
    assert Histogram.of([1.0] * 299).percentile(0.99) is not None


def test_nearest_rank_is_a_value_that_was_measured() -> None:
    assert nearest_rank([5, 1, 4, 2, 3], 0.5) == 3
    assert nearest_rank(list(range(1, 101)), 0.95) == 95
    assert nearest_rank([7.0], 0.95) == 7.0


@given(st.lists(milliseconds, min_size=60, max_size=200), st.sampled_from([0.5, 0.95]))
def test_histogram_quantiles_are_within_a_percent(values: list[float], quantile: float) -> None:
    shown = Histogram.of(values).percentile(quantile)
    assert shown == pytest.approx(nearest_rank(values, quantile), rel=0.01)


@given(st.lists(milliseconds), st.lists(milliseconds))
def test_merging_histograms_is_counting_together(left: list[float], right: list[float]) -> None:
    merged = Histogram.of(left).merge(Histogram.of(right))
    assert merged == Histogram.of(left + right)
    assert merged.n == len(left) + len(right)
    assert Histogram.from_pairs(merged.pairs()) == merged


@given(st.lists(milliseconds, min_size=1))
def test_histogram_mean(values: list[float]) -> None:
    mean = Histogram.of(values).mean
    assert mean == pytest.approx(math.fsum(values) / len(values), rel=0.006)


def test_latencies_of_a_request() -> None:
    row = RequestRow(t_sched=1.0, t_sent=1.5, input=9, asked=5, t_first=2.0, t_last=2.4, output=5, finished=True)
    assert row.ttft_ms(open_loop=True) == pytest.approx(1000)
    assert row.ttft_ms(open_loop=False) == pytest.approx(500)
    assert row.tpot_ms == pytest.approx(100)
    assert row.e2e_ms == pytest.approx(1400)
    single = RequestRow(t_sched=0, t_sent=0, input=9, asked=1, t_first=2.0, t_last=2.0, output=1)
    assert single.tpot_ms is None, "one token has no time per further token"
