"""Arrivals: the rate of each hour, clumps as asked, traces at their own times, and the hours they count in."""

import itertools
import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calibrate.fleet.arrivals import HourlyTraffic, trace_traffic, weekly_rates
from engine.calibrate.fleet.timeline import Timeline
from engine.calibrate.workload import Lengths, Workload
from engine.errors import InputError

PAIRS = (Lengths(10, 5), Lengths(200, 50))
MIX = Workload("mix", PAIRS, (3.0, 1.0))


def test_each_hour_has_its_rate() -> None:
    rates = (2.0, 0.0, 10.0, 1.0)
    timeline = Timeline(4, 400.0)
    found = list(HourlyTraffic(timeline, rates, MIX, seed=1).arrivals())
    times = [at for at, _ in found]
    assert times == sorted(times)
    counts = [sum(int(at // 400) == hour for at in times) for hour in range(4)]
    assert counts[1] == 0
    for count, rate in zip(counts, rates, strict=True):
        assert count == pytest.approx(400 * rate, abs=4 * (400 * rate) ** 0.5)
    assert sum(lengths == PAIRS[0] for _, lengths in found) / len(found) == pytest.approx(0.75, abs=0.03)
    assert [at for at, _ in HourlyTraffic(timeline, rates, MIX, seed=2).arrivals()] != times


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gaps_are_as_bursty_as_asked(burstiness: float) -> None:
    workload = Workload("mix", PAIRS, (1.0, 1.0), burstiness)
    times = [at for at, _ in HourlyTraffic(Timeline(1), (5.0,), workload).arrivals()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    squared = statistics.pvariance(gaps) / statistics.fmean(gaps) ** 2
    assert squared == pytest.approx(1 / burstiness, rel=0.12), "squared variation of gamma gaps is 1/b"


def test_rates_of_a_week(tmp_path: Path) -> None:
    assert weekly_rates(2.5, None) == (2.5,) * 168
    shape = tmp_path / "shape.json"
    shape.write_text(json.dumps([1.0, 3.0] * 84))
    assert weekly_rates(None, shape)[:2] == (1.0, 3.0)
    assert weekly_rates(10.0, shape)[:2] == (5.0, 15.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "holds 2 entries; it must be a JSON list of 168 numbers"),
        ("{}", "holds dict"),
        ("nothing", "is not JSON"),
        (json.dumps([1.0] * 167 + [-1.0]), r"hour 167 is -1\.0; it must be a number from 0 up"),
        (json.dumps([True] * 168), "hour 0 is True"),
        (json.dumps([0] * 168), "every hour is 0"),
    ],
)
def test_a_shape_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    shape = tmp_path / "shape.json"
    shape.write_text(text)
    with pytest.raises(InputError, match=said):
        weekly_rates(None, shape)
    with pytest.raises(InputError, match="can't be read"):
        weekly_rates(None, tmp_path / "none.json")


def test_traces_keep_their_times(tmp_path: Path) -> None:
    azure = trace_traffic(Path("fixtures/traces/azure2023_conversation.csv"))
    assert azure.at_s[:2] == pytest.approx((0, 4.314579))
    assert azure.lengths[0] == Lengths(374, 44)
    assert azure.timeline.hours == 1
    assert azure.requests_per_s == (len(azure.at_s) / 3600,)
    mooncake = tmp_path / "trace.jsonl"
    lines = [
        {"timestamp": 60_000, "input_length": 7, "output_length": 3},
        {"timestamp": 7_260_000, "input_length": 9, "output_length": 2},
    ]
    mooncake.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    traffic = trace_traffic(mooncake)
    assert list(traffic.arrivals()) == [(0.0, Lengths(7, 3)), (7200.0, Lengths(9, 2))]
    assert traffic.requests_per_s == (1 / 3600, 0, 1 / 3600)


def test_a_trace_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 1, "input_length": 1, "output_length": 1.5}\n')
    with pytest.raises(InputError, match=r"line 1: output_length is '1\.5'"):
        trace_traffic(tmp_path / "t.jsonl")


@given(st.floats(0, 900), st.floats(0, 900), st.sampled_from([0.0, 20.0]))
def test_an_interval_is_shared_out_among_hours(start: float, length: float, warm_in_s: float) -> None:
    timeline = Timeline(7, 100.0, warm_in_s)
    parts = list(timeline.overlaps(start, start + length))
    within = max(0.0, min(700.0, start + length) - start)
    assert sum(seconds for _, seconds, _ in parts) == pytest.approx(within, abs=1e-6)
    assert all(0 <= counted <= min(seconds, timeline.window_s) + 1e-9 for _, seconds, counted in parts)
    if not warm_in_s:
        assert all(seconds == pytest.approx(counted) for _, seconds, counted in parts)


def test_a_warm_in_does_not_count() -> None:
    timeline = Timeline(2, 240.0, 60.0)
    assert [timeline.counted_hour(at) for at in (0, 59, 60, 239, 240, 301, 480)] == [None, None, 0, 0, None, 1, None]
    assert list(timeline.overlaps(30.0, 330.0)) == [(0, 210.0, 180.0), (1, 90.0, 30.0)]
