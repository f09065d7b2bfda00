from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.catalog.facts import PublishedThroughput
from costadvisor.catalog.published import OPEN_LOOP_SHARE, PublishedCapacity, published_capacity


def level(concurrency: int, output_tokens_per_s: float, ttft_ms: float, stat: str = "p99") -> PublishedThroughput:
    return PublishedThroughput(
        series="test", engine="vLLM", engine_version="0", model="m", gpu="H100", form_factor="SXM", gpus=1,
        dtype="bf16", input_tokens=1000, output_tokens=100, concurrency=concurrency,
        output_tokens_per_s=output_tokens_per_s, ttft_ms=ttft_ms, ttft_stat=stat, tpot_ms=5.0,
        tpot_stat="p50 of gaps", as_of=date(2026, 9, 1), source="a test", note="",
    )  # fmt: skip


CURVE = [level(1, 100, 40), level(16, 1000, 200), level(64, 2000, 900), level(256, 2400, 9000)]


def capacity(
    levels: list[PublishedThroughput],
    inputs: float = 1000,
    outputs: float = 100,
    ttft: float = 1000,
    tpot: float = 50,
) -> PublishedCapacity:
    return published_capacity(levels, input_tokens=inputs, output_tokens=outputs, ttft_p95_ms=ttft, tpot_p95_ms=tpot)


def test_a_tail_inside_the_objective_is_grade_c_and_still_capped_below_saturation() -> None:
    strict, loose = capacity(CURVE, ttft=500), capacity(CURVE, ttft=1000)
    assert (strict.grade, strict.requests_per_s) == ("C", 10)
    # 20 requests/s met the objective in a closed loop, 0.75 x 24 is what random arrivals may be planned with
    assert loose.grade == "C"
    assert loose.requests_per_s == pytest.approx(18)
    assert "0.75 x 24" in loose.formula


def test_a_median_proves_nothing_about_the_tail() -> None:
    medians = [replace(point, ttft_stat="p50") for point in CURVE]
    found = capacity(medians, ttft=500)
    assert found.grade == "D"
    assert found.requests_per_s == pytest.approx(OPEN_LOOP_SHARE * 24)


def test_prefill_pauses_that_a_median_gap_hides_count_against_the_objective() -> None:
    # 64 in flight at 20 requests/s take 3.2 s each: 32 ms a token, whatever the median gap says
    assert capacity(CURVE, tpot=33).requests_per_s == pytest.approx(18)
    assert capacity(CURVE, tpot=32).requests_per_s == pytest.approx(10)


def test_no_level_inside_the_objective_is_no_capacity() -> None:
    found = capacity(CURVE, ttft=30)
    assert (found.requests_per_s, found.grade) == (0, "D")
    assert "misses the latency target" in found.formula


def test_lengths_more_than_a_factor_of_two_away_are_grade_d() -> None:
    assert capacity(CURVE, inputs=2000).grade == "C"
    assert capacity(CURVE, inputs=2001).grade == "D"
    assert capacity(CURVE, outputs=49).grade == "D"


@given(inputs=st.floats(10, 20_000), outputs=st.floats(10, 5_000))
def test_the_rate_falls_with_the_longer_of_the_two_lengths(inputs: float, outputs: float) -> None:
    at_own_lengths = capacity(CURVE).requests_per_s
    scaled = capacity(CURVE, inputs=inputs, outputs=outputs).requests_per_s
    assert scaled * inputs / 1000 <= at_own_lengths * (1 + 1e-9)
    assert scaled * outputs / 100 <= at_own_lengths * (1 + 1e-9)
