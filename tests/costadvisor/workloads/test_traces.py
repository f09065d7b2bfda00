"""Traces: what is read, and the one error for what cannot be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.workloads.traces import BadTrace, parse_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"


def azure(*lines: str) -> bytes:
    return "\r\n".join((AZURE, *lines)).encode()


def test_an_azure_trace_is_read_with_seven_decimals_and_sorted() -> None:
    trace = parse_trace(azure("2023-11-16 18:15:50.9951690,396,109", "2023-11-16 18:15:46.6805900,374,44", ""))
    assert [(request.input_tokens, request.output_tokens) for request in trace.requests] == [(374, 44), (396, 109)]
    assert trace.span_s == pytest.approx(4.314579)
    assert trace.has_clock


def test_an_offset_in_a_time_is_minded() -> None:
    trace = parse_trace(azure("2024-05-10 00:00:00+00:00,1,1", "2024-05-10 03:00:00+02:00,1,1"))
    assert trace.span_s == 3600


def test_a_mooncake_trace_is_read_in_milliseconds() -> None:
    lines = [{"timestamp": 500, "input_length": 900, "output_length": 20, "hash_ids": [1]}]
    lines.append({"timestamp": 27482, "input_length": 6758, "output_length": 500, "hash_ids": [1, 2]})
    trace = parse_trace("\n".join(map(json.dumps, lines)).encode())
    assert trace.span_s == pytest.approx(26.982)
    assert trace.requests[1].input_tokens == 6758
    assert not trace.has_clock


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The trace is empty"),
        (b"\n  \n", "The trace is empty"),
        (azure(), "a header but no requests"),
        (azure("2023-11-16 18:15:46,374,44", "yesterday,1,1"), "Line 3: TIMESTAMP 'yesterday' is not a time"),
        (azure("2023-11-16 18:15:46,374"), "Line 2: 2 cells where 3 are due"),
        (azure("2023-11-16 18:15:46,-1,44"), "Line 2: ContextTokens '-1' is not a whole number"),
        (azure("2023-11-16 18:15:46,1,0"), "Line 2: GeneratedTokens '0' is not a whole number of tokens from 1"),
        (azure("2023-11-16 18:15:46,²,1"), "Line 2: ContextTokens '²'"),
        (b"a,b,c\n1,2,3\n", "Line 1 begins no trace we know"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b'{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": 1\n', "Line 2: is not JSON"),
        (b'{"timestamp": -1, "input_length": 1, "output_length": 1}', "Line 1: timestamp -1 is not"),
        (b'{"timestamp": NaN, "input_length": 1, "output_length": 1}', "Line 1: timestamp nan is not"),
        (b'{"timestamp": 0, "input_length": 1.5, "output_length": 1}', "Line 1: input_length '1.5'"),
        (b'{"timestamp": 0, "input_length": 1}', "Line 1: output_length 'None'"),
        (b'{"timestamp": 0}\n\n[1]', "Line 1: input_length"),
    ],
)
def test_a_bad_trace_is_one_error_that_names_the_line(content: bytes, message: str) -> None:
    with pytest.raises(BadTrace) as refused:
        parse_trace(content)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_bytes_are_a_trace_or_a_bad_trace(content: bytes) -> None:
    for prefix in (b"", AZURE.encode() + b"\n", b"{"):
        try:
            assert parse_trace(prefix + content).requests
        except BadTrace:
            continue
