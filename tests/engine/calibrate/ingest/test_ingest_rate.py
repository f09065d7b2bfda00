"""The rate that an import supports, and how far it is to be trusted."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.calibrate.record import Record
from engine.calibrate.slo import Slo

Run = Callable[..., dict[str, Any]]
Taken = Callable[..., Record]


def tails(run: Run, rate: float | str, ttft: float, tpot: float = 10.0, **more: Any) -> dict[str, Any]:
    """A run whose p95 are these."""
    figures = {"request_rate": rate, "p95_ttft_ms": ttft, "p99_ttft_ms": 2 * ttft, "median_ttft_ms": ttft / 2}
    figures |= {"p95_tpot_ms": tpot, "p99_tpot_ms": 2 * tpot, "median_tpot_ms": tpot / 2, "p90_ttft_ms": ttft / 2}
    return run(**figures, p90_tpot_ms=tpot / 2, **more)


def codes(record: Record) -> set[str]:
    return {flag.code for flag in record.flags}


def test_the_rate_is_where_the_first_limit_is_crossed(run: Run, taken: Taken) -> None:
    runs = [tails(run, 2, 100), tails(run, 6, 800), tails(run, 4, 200, tpot=20)]
    record = taken(*runs)
    rate = record.derived.max_rate
    assert rate is not None
    assert rate.requests_per_s == pytest.approx(5.0), "500 ms lie half way between 200 and 800"
    assert (rate.low, rate.high, rate.method) == (4, 6, "imported")
    assert record.derived.binding == "ttft_p95_ms"
    assert record.grade.letter == "C"
    assert [point.requests_per_s for point in record.derived.curve] == [2, 4, 6]
    assert codes(record) == {"imported", "not_verified"}


def test_time_per_token_can_bind_first(run: Run, taken: Taken) -> None:
    record = taken(tails(run, 2, 100, tpot=40), tails(run, 4, 600, tpot=80))
    assert record.derived.binding == "tpot_p95_ms"
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(2.5)


def test_noise_does_not_make_the_curve_fall(run: Run, taken: Taken) -> None:
    """700 at 3 requests/s and 300 at 4 are one block of 500: the limit is first passed after 4."""
    runs = [tails(run, 2, 100), tails(run, 3, 700), tails(run, 4, 300), tails(run, 5, 900)]
    rate = taken(*runs, slo=Slo(600, 50)).derived.max_rate
    assert rate is not None
    assert rate.requests_per_s == pytest.approx(4.25)


def test_a_p99_stands_in_for_a_p95_and_is_said_to(run: Run, taken: Taken) -> None:
    runs = [tails(run, 2, 100), tails(run, 4, 400)]
    for each in runs:
        del each["p95_ttft_ms"]
    record = taken(*runs)
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(3.0), "p99 is 200 and 800"
    assert [flag.level for flag in record.flags if "stands in" in flag.message] == ["rate-2", "rate-4"]
    assert record.derived.curve == (), "a bound is no point of the curve"
    assert record.levels[0].ttft_ms.p95 is None


def test_a_median_proves_no_tail(run: Run, taken: Taken) -> None:
    runs = [tails(run, 2, 100), tails(run, 4, 400)]
    for each in runs:
        for name in ("p95_ttft_ms", "p99_ttft_ms"):
            del each[name]
    record = taken(*runs)
    assert record.grade.letter == "D"
    assert "closed_loop_only" in codes(record)


def test_too_few_requests_have_no_tail(run: Run, taken: Taken) -> None:
    few = {"completed": 58, "total_input_tokens": 58 * 128, "total_output_tokens": 58 * 32}
    record = taken(tails(run, 2, 100, **few), tails(run, 4, 400, **few))
    assert record.grade.letter == "D"
    assert [(flag.value, flag.limit) for flag in record.flags if flag.code == "few_samples"] == [(58, 59), (58, 59)]


def test_where_every_rate_met_the_slo_more_may_be_possible(run: Run, taken: Taken) -> None:
    record = taken(tails(run, 2, 100), tails(run, 4, 200))
    rate = record.derived.max_rate
    assert rate is not None
    assert (rate.requests_per_s, rate.low, rate.high) == (4, 4, 4)
    assert record.derived.binding is None
    assert "unresolved" in codes(record)


def test_where_every_rate_missed_it_none_is_stated(run: Run, taken: Taken) -> None:
    record = taken(tails(run, 2, 900), tails(run, 4, 1000))
    assert record.derived.max_rate is None
    assert record.derived.no_rate_because == "no_level_inside"
    assert record.grade.letter is None


def test_a_closed_loop_is_derated_and_says_so(run: Run, taken: Taken) -> None:
    runs = [
        tails(run, "inf", 100, max_concurrency=4, request_throughput=10.0),
        tails(run, "inf", 200, max_concurrency=16, request_throughput=20.0),
    ]
    record = taken(*runs)
    rate = record.derived.max_rate
    assert rate is not None
    assert rate.method == "derated"
    assert rate.requests_per_s == pytest.approx(15.0)
    assert rate.low == pytest.approx(13.6)
    assert rate.high == pytest.approx(20.0)
    assert record.grade.letter == "D"
    assert "0.75 x 20 requests/s" in record.grade.basis
    assert [(flag.value, flag.limit) for flag in record.flags if flag.code == "closed_loop_only"] == [(20.0, 15.0)]
    assert record.workload.burstiness is None
    saturation = record.derived.saturation
    assert saturation is not None
    assert (saturation.level, saturation.concurrency) == ("concurrency-16", 16)


def test_a_level_that_is_known_to_miss_is_no_evidence(run: Run, taken: Taken) -> None:
    """0.75 of the throughput at 64 would be planned with, though half of its requests are too slow."""
    runs = [
        tails(run, "inf", 100, max_concurrency=4, request_throughput=10.0),
        tails(run, "inf", 2000, max_concurrency=64, request_throughput=100.0),
    ]
    rate = taken(*runs).derived.max_rate
    assert rate is not None
    assert rate.requests_per_s == pytest.approx(10.0)


@pytest.mark.parametrize(("concurrency", "because"), [(1, "slo_unreachable"), (8, "no_level_inside")])
def test_only_a_lone_request_proves_that_no_rate_can_do(run: Run, taken: Taken, concurrency: int, because: str) -> None:
    record = taken(tails(run, "inf", 2000, max_concurrency=concurrency))
    assert record.derived.no_rate_because == because
    assert record.grade.letter == ("C" if concurrency == 1 else None)


def test_requests_sent_all_at_once_wait_for_each_other(run: Run, taken: Taken) -> None:
    record = taken(tails(run, "inf", 60_000, request_throughput=40.0))
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(30.0)


@pytest.mark.parametrize("smooth", [{"burstiness": 100.0}, {"max_concurrency": 8}])
def test_evenly_spaced_or_capped_requests_are_no_traffic(run: Run, taken: Taken, smooth: dict[str, float]) -> None:
    record = taken(tails(run, 4, 100, request_throughput=4.0, **smooth))
    assert record.grade.letter == "D"
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(3.0)


def test_runs_at_one_rate_are_one_point(run: Run, taken: Taken) -> None:
    record = taken(tails(run, 2, 100), tails(run, 4, 300), tails(run, 4, 900, date="20261129-000000"))
    assert [level.id for level in record.levels] == ["rate-2", "rate-4", "rate-4-run-2"]
    assert record.derived.max_rate is not None
    assert record.derived.max_rate.requests_per_s == pytest.approx(3.6), "their mean is 600"
    assert record.created_at == "2026-11-30T00:00:00Z"


def test_a_rate_that_loses_requests_is_not_sustained(run: Run, taken: Taken) -> None:
    """Those that failed at once are in no percentile; 6 of 106 are more than 5 %."""
    record = taken(tails(run, 2, 100), tails(run, 4, 110), tails(run, 8, 50, failed=6))
    rate = record.derived.max_rate
    assert rate is not None
    assert (rate.requests_per_s, rate.low, rate.high) == (4, 4, 8)
    assert "unresolved" not in codes(record)
    few_lost = taken(tails(run, 2, 100), tails(run, 4, 110), tails(run, 8, 120, failed=5)).derived.max_rate
    assert few_lost is not None
    assert few_lost.requests_per_s == 8


def test_requests_that_failed_are_flagged(run: Run, taken: Taken) -> None:
    record = taken(tails(run, 2, 100, failed=3))
    assert [(flag.level, flag.value) for flag in record.flags if flag.code == "errors"] == [("rate-2", 3)]
    assert record.levels[0].attempted == 103
