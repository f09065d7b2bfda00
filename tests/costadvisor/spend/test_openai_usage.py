"""OpenAI's Usage API: inclusion of cached tokens, buckets, and pages that are awkward."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costadvisor.spend.formats import openai_usage
from costadvisor.spend.formats.reading import Reading
from tests.costadvisor.spend.read import detect, reading

START = 1_790_812_800  # 2026-10-01 00:00 UTC
TODAY = date(2026, 11, 21)
RESULT = {
    "object": "organization.usage.completions.result",
    "input_tokens": 5000,
    "input_cached_tokens": 2000,
    "output_tokens": 700,
    "input_audio_tokens": 0,
    "output_audio_tokens": 0,
    "num_model_requests": 10,
    "project_id": "proj_1",
    "user_id": "user_secret",
    "api_key_id": "key_1",
    "model": "gpt-4o-mini-2024-07-18",
    "batch": True,
    "service_tier": "flex-tier",
}


def page(*results: Any, **changes: Any) -> dict[str, Any]:
    bucket = {"object": "bucket", "start_time": START, "end_time": START + 86400, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None} | changes


def parsed(content: Any) -> Reading:
    return read(json.dumps(content).encode())


def read(content: bytes) -> Reading:
    return reading(content, openai_usage, today=TODAY)


def test_a_result_is_understood_with_cached_tokens_taken_out_of_the_input() -> None:
    row = parsed(page(RESULT)).rows[0]
    assert (row.input_uncached, row.cache_read, row.input_tokens) == (3000, 2000, 5000)
    assert (row.output, row.requests, row.tier, row.batch) == (700, 10, "flex-tier", True)
    assert (row.cost, row.currency, row.cost_basis) == (None, "", "")
    assert row.period_start.isoformat() == "2026-10-01T00:00:00+00:00"
    assert row.scope == "proj_1/key_1"
    assert "user_secret" not in repr(row)


def test_ungrouped_usage_has_no_model_and_says_so() -> None:
    result = parsed(page(RESULT | {"model": None, "project_id": None, "api_key_id": None, "batch": None}))
    assert (result.rows[0].model, result.rows[0].scope, result.rows[0].batch) == ("", "", None)
    assert "group_by=model" in " ".join(result.notices)


def test_pages_may_come_in_a_list_or_one_a_line() -> None:
    other = json.loads(json.dumps(page(RESULT)))
    other["data"][0]["start_time"] += 86400
    other["data"][0]["end_time"] += 86400
    lines = "\n".join(json.dumps(one) for one in (page(RESULT), other)).encode()
    assert detect(lines) == "openai_usage"
    assert parsed([page(RESULT), other]).rows == read(lines).rows
    assert len(read(lines).rows) == 2


def test_a_missing_page_and_audio_tokens_are_noticed() -> None:
    notices = " ".join(parsed(page(RESULT | {"input_audio_tokens": 12}, has_more=True)).notices)
    assert "there are more pages" in notices
    assert "12 audio tokens are left out" in notices


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"input_cached_tokens": 5001}, "input_cached_tokens", "must include the cached ones"),
        ({"input_tokens": None}, "input_tokens", "is not there"),
        ({"input_tokens": 1.5}, "input_tokens", "“1.5” is not a whole number"),
        ({"input_tokens": True}, "input_tokens", "not a whole number"),
        ({"output_tokens": -1}, "output_tokens", "not a whole number"),
        ({"num_model_requests": "many"}, "num_model_requests", "“many” is not a whole number"),
        ({"model": ["gpt"]}, "model", "is not text"),
        ({"batch": "yes"}, "batch", "neither true nor false"),
    ],
)
def test_a_bad_result_is_named_and_the_good_ones_are_kept(change: dict[str, Any], field: str, reason: str) -> None:
    result = parsed(page(RESULT, RESULT | change))
    assert len(result.rows) == 1
    (problem,) = result.problems
    assert (problem.where, problem.field) == ("data[0].results[1]", field)
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("bucket", "field"),
    [
        ({"start_time": "2026-10-01", "end_time": START, "results": [RESULT]}, "start_time"),
        ({"start_time": START * 1000, "end_time": START, "results": [RESULT]}, "start_time"),
        ({"start_time": START, "end_time": START, "results": [RESULT]}, "end_time"),
        ({"start_time": START, "end_time": START + 1}, "results"),
        ("bucket", "results"),
    ],
)
def test_a_bad_bucket_is_named(bucket: Any, field: str) -> None:
    result = parsed({"data": [bucket]})
    assert [problem.field for problem in result.problems] == [field]
    assert result.rows == ()


@pytest.mark.parametrize("content", ["{", "[1]", '{"data": {}}', "[" * 100_000, '{"data": [' + "9" * 5000 + "]}"])
def test_a_broken_file_is_one_clear_problem(content: str) -> None:
    result = read(content.encode())
    assert result.rows == ()
    assert len(result.problems) == 1


def test_a_bill_of_another_kind_is_not_taken_for_usage() -> None:
    assert detect(b'{"object": "page", "data": [{"results": [{"amount": {"value": 1, "currency": "usd"}}]}]}') is None
    assert detect(b"name,age\nann,7\n") is None


@settings(deadline=None)
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_input_is_always_the_sum_of_its_parts(uncached: int, cached: int) -> None:
    row = parsed(page(RESULT | {"input_tokens": uncached + cached, "input_cached_tokens": cached})).rows[0]
    assert (row.input_uncached, row.cache_read) == (uncached, cached)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "results", "start_time", "input_tokens", "model"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_no_json_makes_the_parser_fail(content: Any) -> None:
    parsed(content)
    parsed({"data": content})
    parsed({"data": [{"start_time": START, "end_time": START + 60, "results": content}]})


def test_a_bucket_of_tomorrow_is_a_problem_and_one_of_today_is_not() -> None:
    days = [
        {"start_time": START + day * 86400, "end_time": START + (day + 1) * 86400, "results": [RESULT]}
        for day in (51, 52)  # 21 and 22 November
    ]
    result = parsed({"data": days})
    assert [row.period_start.date() for row in result.rows] == [TODAY]
    (problem,) = result.problems
    assert (problem.where, problem.field) == ("data[1].results[0]", "period")
    assert "2026-11-22 lies in the future; today is 2026-11-21" in problem.reason
