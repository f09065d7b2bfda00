import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from costadvisor.workloads.traces import TraceError, trace_parse, trace_read

CONVERSATION = Path("fixtures/traces/azure2023_conversation.csv")
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def azure(arrivals: list[datetime]) -> list[str]:
    return [HEADER, *(f"{moment:%Y-%m-%d %H:%M:%S.%f},100,10" for moment in arrivals)]


def mooncake(arrivals_ms: list[float]) -> list[str]:
    return [json.dumps({"timestamp": ms, "input_length": 100, "output_length": 10}) for ms in arrivals_ms]


def test_the_azure_conversation_trace_has_its_published_lengths() -> None:
    trace, sha256 = trace_read(CONVERSATION)
    assert len(trace.arrival_s) == 19_366
    assert (round(trace.input_tokens.mean()), round(trace.output_tokens.mean())) == (1155, 211)
    assert trace.hours == pytest.approx(0.973, abs=1e-3)
    assert len(sha256) == 64


def test_an_hour_says_nothing_of_the_week() -> None:
    trace, _ = trace_read(CONVERSATION)
    assert trace.hour_weights is None


def test_a_dated_week_gives_168_weights_from_monday() -> None:
    # one request an hour from a Wednesday on, two in every hour that begins at 14:00 UTC
    start = datetime(2026, 10, 7, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in range(2 * 168 + 1)]
    twice = [moment + timedelta(minutes=30) for moment in hours if moment.hour == 14]
    weights = trace_parse(azure(sorted(hours + twice)), name="week").hour_weights
    assert weights is not None
    assert sum(weights) == pytest.approx(168)
    assert [hour for hour in range(168) if weights[hour] > 1.5] == [14 + 24 * day for day in range(7)]


def test_burstiness_is_the_gamma_shape_of_the_gaps() -> None:
    draws = np.random.default_rng(7)
    for shape in (0.25, 1.0, 4.0):
        gaps_ms = draws.gamma(shape, 1000 / shape, 20_000)
        trace = trace_parse(mooncake(list(np.cumsum(gaps_ms))), name="gamma")
        assert trace.burstiness == pytest.approx(shape, rel=0.1)
    assert trace_parse(mooncake([0, 1, 2]), name="few").burstiness is None


def test_requests_are_put_in_order_of_arrival() -> None:
    trace = trace_parse(mooncake([5000, 0, 1000]), name="mixed")
    assert list(trace.arrival_s) == [0, 1, 5]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"t line 1 is ''; it must be TIMESTAMP,ContextTokens,GeneratedTokens"),
        (["a,b"], "line 1 is 'a,b'"),
        ([HEADER], "t has no requests"),
        ([HEADER, "2023-11-16 18:15:46,0,5"], "line 2: ContextTokens is '0'; it must be a whole number of tokens"),
        ([HEADER, "2023-11-16 18:15:46,5,5", "", "noon,5,5"], "line 4: TIMESTAMP is 'noon'"),
        ([HEADER, "2023-11-16 18:15:46,5"], "line 2 has 2 columns; it must have 3"),
        (['{"timestamp": 0, "input_length": 5}'], "line 1: output_length is 'None'"),
        (['{"timestamp": NaN, "input_length": 5, "output_length": 1}'], "timestamp is 'nan'"),
        (['{"timestamp": 0, "input_length": 1e999, "output_length": 1}'], "input_length is 'inf'"),
        (["{"], "line 1: the line is '{'; it must be a JSON object"),
    ],
)
def test_a_bad_trace_is_one_clear_error(lines: list[str], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        trace_parse(lines, name="t")


def test_a_missing_file_and_a_binary_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no\.csv: No such file"):
        trace_read(tmp_path / "no.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="is not text in UTF-8"):
        trace_read(tmp_path / "binary")
