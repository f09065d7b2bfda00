"""Traces: the profile that each published one gives, and the one error for what cannot be read."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.common.refusal import Refusal
from costadvisor.workloads.derive import profile_from_trace
from costadvisor.workloads.requests import trace_requests
from costadvisor.workloads.series import RATE_COLUMNS, TOKEN_COLUMNS, figures_from_series, table_read

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
CONVERSATION = Path("fixtures/traces/azure2023_conversation.csv")


def azure(*lines: str) -> bytes:
    return "\r\n".join((AZURE, *lines)).encode()


def test_an_azure_trace_is_read_with_seven_decimals_and_sorted() -> None:
    trace = trace_requests(azure("2023-11-16 18:15:50.9951690,396,109", "2023-11-16 18:15:46.6805900,374,44", ""), "a")
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.output_tokens.tolist() == [44, 109]
    assert trace.span_s == pytest.approx(4.314579)
    assert trace.has_clock
    assert trace.prefix_hit_share is None


def test_the_times_of_2024_have_an_offset() -> None:
    trace = trace_requests(
        azure("2024-05-10 00:00:00.009930+00:00,2162,5", "2024-05-10 03:00:00.009930+02:00,1,1"), "a"
    )
    assert trace.span_s == 3600
    assert trace.began_at.isoformat() == "2024-05-10T00:00:00.009930+00:00"


def test_a_mooncake_trace_is_read_in_milliseconds_and_tells_what_prompts_share() -> None:
    lines = [{"timestamp": 500, "input_length": 1024, "output_length": 20, "hash_ids": [1, 2]}]
    lines.append({"timestamp": 27482, "input_length": 1024, "output_length": 500, "hash_ids": [1, 3]})
    trace = trace_requests("\n".join(map(json.dumps, lines)).encode(), "m.jsonl")
    assert trace.span_s == pytest.approx(26.982)
    assert not trace.has_clock
    profile = profile_from_trace(trace, source="m", requests_per_month=1.0, volume_source="somebody")
    assert profile.prefix_hit_share.value == pytest.approx(512 / 2048)
    assert profile.prefix_hit_share.basis == "measured"


def test_the_azure_conversation_of_2023_gives_its_published_means() -> None:
    """1,155 tokens in and 211 out on average: README of the trace; paper: Splitwise, ISCA 2024."""
    trace = trace_requests(CONVERSATION.read_bytes(), CONVERSATION.name)
    profile = profile_from_trace(trace, source="azure", requests_per_month=1e6, volume_source="somebody")
    assert len(trace) == 19_366
    assert round(profile.input_tokens.value) == 1155
    assert round(profile.output_tokens.value) == 211
    assert profile.burstiness.basis == "measured"
    assert profile.burstiness.value == pytest.approx(0.665, abs=0.001)
    assert profile.hourly_shape.basis == "assumed"  # an hour says nothing of the week


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no requests"),
        (b"\n  \n", "has no requests"),
        (azure(), "has no requests"),
        (azure("2023-11-16 18:15:46,374,44", "yesterday,1,1"), "line 3: TIMESTAMP is 'yesterday'"),
        (azure("2023-11-16 18:15:46,374"), "line 2: 2 columns; there must be 3"),
        (azure("2023-11-16 18:15:46,-1,44"), "line 2: ContextTokens is '-1'; it must be a whole number"),
        (
            azure("2023-11-16 18:15:46,1,0"),
            "line 2: GeneratedTokens is '0'; it must be a whole number of tokens from 1",
        ),
        (azure("2023-11-16 18:15:46,²,1"), "line 2: ContextTokens is '²'"),
        (b"a,b,c\n1,2,3\n", "line 1: 'a,b,c' begins no trace that is known"),
        (b"\xff\xfe", "can't be read"),
        (b'{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": 1\n', "line 2: not JSON"),
        (b'{"timestamp": -1, "input_length": 1, "output_length": 1}', "line 1: timestamp is '-1'"),
        (b'{"timestamp": NaN, "input_length": 1, "output_length": 1}', "line 1: timestamp is 'nan'"),
        (b'{"timestamp": 0, "input_length": 1.5, "output_length": 1}', "line 1: input_length is '1.5'"),
        (b'{"timestamp": 0, "input_length": 1}', "line 1: timestamp, input_length and output_length must be there"),
    ],
)
def test_a_bad_trace_is_one_error_that_names_the_line(content: bytes, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        trace_requests(content, "a.csv")
    assert message in str(refused.value)
    assert refused.value.field == "trace"
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_bytes_are_a_trace_or_a_bad_trace(content: bytes) -> None:
    for prefix in (b"", AZURE.encode() + b"\n", b"{"):
        try:
            assert len(trace_requests(prefix + content, "a"))
        except Refusal:
            continue


TRACES = Path("fixtures/traces")


def test_the_azure_code_of_2023_gives_its_published_means() -> None:
    """2,048 tokens in and 27.9 out, as its README says; arrivals clump far more than random ones."""
    content = gzip.decompress((TRACES / "azure2023_code.csv.gz").read_bytes())
    trace = trace_requests(content, "code.csv")
    profile = profile_from_trace(trace, source="azure", requests_per_month=1e6, volume_source="somebody")
    assert len(trace) == 8_819
    assert round(profile.input_tokens.value) == 2048
    assert profile.output_tokens.value == pytest.approx(27.9, abs=0.05)
    assert profile.burstiness.value == 0.05  # the least that is told


def test_the_mooncake_synthetic_trace_gives_its_means_and_what_it_shares() -> None:
    """15,325 tokens in and 149 out; it was made with Poisson arrivals."""
    content = gzip.decompress((TRACES / "mooncake_synthetic.jsonl.gz").read_bytes())
    trace = trace_requests(content, "m.jsonl")
    profile = profile_from_trace(trace, source="mooncake", requests_per_month=1e6, volume_source="somebody")
    assert len(trace) == 3_993
    assert (profile.input_tokens.value, profile.output_tokens.value) == (15325.5, 149.119)
    assert profile.prefix_hit_share.value == pytest.approx(0.651, abs=0.001)
    assert profile.burstiness.value == pytest.approx(1, abs=0.1)


def test_servegens_tables_give_volume_lengths_and_the_week() -> None:
    """14 days of m-large: 195.84 requests/s; 914.28 tokens in and 155.09 out, weighted by requests."""
    rates = table_read((TRACES / "servegen_m-large_10min_rate.csv").read_bytes(), "r.csv", RATE_COLUMNS, "rates")
    lengths = table_read((TRACES / "servegen_m-large_6h_tokens.csv").read_bytes(), "l.csv", TOKEN_COLUMNS, "lengths")
    figures = figures_from_series(rates, lengths, datetime(2026, 10, 5, tzinfo=UTC))
    assert figures["requests_per_month"].value == pytest.approx(195.84394 * 730 * 3600, rel=1e-5)
    assert figures["input_tokens"].value == pytest.approx(914.277)
    assert figures["output_tokens"].value == pytest.approx(155.092)
    week = figures["hourly_shape"].value
    # The shape times the mean rate is each hour's own mean over the two weeks.
    for hour in (0, 30, 167):
        seen = [row[1] for row in rates.rows if int(row[0] // 3600) % 168 == hour]
        assert week[hour] * 195.84394 == pytest.approx(sum(seen) / len(seen), rel=1e-4)
    assert "hourly_shape" not in figures_from_series(rates, lengths, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the columns must be t_seconds,requests_per_second_all_clients"),
        ("time,rate\n1,2", "line 1: the columns must be"),
        ("0,1", "needs at least two rows"),
        ("0,1\n600,x", "line 3: requests_per_second_all_clients is 'x'"),
        ("0,1\n600,-1", "line 3: requests_per_second_all_clients is '-1'"),
        ("0,1\n600,nan", "line 3: requests_per_second_all_clients is 'nan'"),
        ("0,1\n600,1\n900,1", "line 4: t_seconds must grow by the same"),
        ("600,1\n600,1", "line 3: t_seconds must grow by the same"),
        ("0,1\n600", "line 3: 1 cells where 2 are due"),
    ],
)
def test_a_bad_table_of_rates_names_its_line(text: str, message: str) -> None:
    header = "" if text.startswith("time") or not text else ",".join(RATE_COLUMNS) + "\n"
    with pytest.raises(Refusal) as refused:
        table_read((header + text).encode(), "r.csv", RATE_COLUMNS, "rates")
    assert message in str(refused.value)
    assert refused.value.field == "rates"
