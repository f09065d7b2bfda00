"""OpenAI Usage API, `GET /v1/organization/usage/completions`: a page, a list of pages, or one page a line.

`input_tokens` includes the cached ones. Usage carries no money. User ids and e-mail addresses are dropped here.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from costadvisor.spend.formats.row import Parsed, Problem, UsageRow
from costadvisor.spend.formats.values import BadValue, count, name, shown

NAME = "openai_usage"
LABEL = "OpenAI Usage API (JSON)"
_MARKS = ('"organization.usage.completions.result"', '"num_model_requests"', '"input_cached_tokens"', '"input_tokens"')
_AUDIO = ("input_audio_tokens", "output_audio_tokens")
_EARLIEST, _LATEST = 1_420_070_400, 4_102_444_800  # 2015-01-01 and 2100-01-01, in unix seconds

Json = dict[str, Any]


def sniff(header: str) -> float:
    """Share of the telling keys that the beginning of the file shows, 0 to 1."""
    if header.lstrip("\ufeff \r\n\t")[:1] not in ("{", "["):
        return 0.0
    if _MARKS[0] in header:
        return 1.0
    # A file may begin with many empty buckets, before any result is seen.
    empty_buckets = '"object": "bucket"' in header or '"object":"bucket"' in header
    return max(sum(mark in header for mark in _MARKS) / len(_MARKS), 0.5 if empty_buckets else 0.0)


def parse(stream: BinaryIO) -> Parsed:
    try:
        pages = list(_pages(stream.read().decode("utf-8-sig")))
    except BadValue as error:
        return Parsed((), (Problem("file", error.field, str(error)),))
    rows: list[UsageRow] = []
    problems: list[Problem] = []
    results: list[Json] = []
    places: list[str] = []
    for where, bucket, result in _results(pages, problems):
        try:
            rows.append(_row(bucket, result))
            results.append(result)
            places.append(where)
        except BadValue as error:
            problems.append(Problem(where, error.field, str(error)))
    return Parsed(tuple(rows), tuple(problems), tuple(_notices(pages, rows, results)), tuple(places))


def _pages(text: str) -> Iterator[Json]:
    content = _decoded(text)
    pages = content if isinstance(content, list) else [content]
    for page in pages:
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise BadValue("data", "is not there; a page of the Usage API is an object with a list “data”")
        yield page


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except (RecursionError, ValueError):
            raise BadValue(
                "JSON", f"cannot be read at line {whole.lineno}, column {whole.colno}: {whole.msg}"
            ) from None
    except (RecursionError, ValueError):
        raise BadValue("JSON", "is nested too deeply or holds an absurd number") from None


def _results(pages: list[Json], problems: list[Problem]) -> Iterator[tuple[str, Json, Json]]:
    """Where, bucket and result of each result. Buckets are numbered through all pages."""
    buckets = [bucket for page in pages for bucket in page["data"]]
    for number, bucket in enumerate(buckets):
        if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
            problems.append(Problem(f"data[{number}]", "results", "is not there; a bucket has a list “results”"))
            continue
        for position, result in enumerate(bucket["results"]):
            where = f"data[{number}].results[{position}]"
            if isinstance(result, dict):
                yield where, bucket, result
            else:
                problems.append(Problem(where, "result", "is not an object"))


def _row(bucket: Json, result: Json) -> UsageRow:
    total, cached = _count(result, "input_tokens"), _count(result, "input_cached_tokens")
    if total is None:
        raise BadValue("input_tokens", "is not there; every result of the Usage API has it")
    if cached is not None and cached > total:
        raise BadValue("input_cached_tokens", "is more than input_tokens, which must include the cached ones")
    start, end = _moment(bucket, "start_time"), _moment(bucket, "end_time")
    if end <= start:
        raise BadValue("end_time", "is not after start_time")
    return UsageRow(
        period_start=start,
        period_end=end,
        source=NAME,
        provider="openai",
        model=_text(result, "model"),
        scope="/".join(filter(None, (_text(result, "project_id"), _text(result, "api_key_id")))),
        requests=_count(result, "num_model_requests"),
        input_uncached=total - (cached or 0),
        cache_read=cached,
        output=_count(result, "output_tokens"),
        tier=_text(result, "service_tier"),
        batch=_flag(result, "batch"),
    )


def _moment(bucket: Json, field: str) -> datetime:
    value = bucket.get(field)
    if not isinstance(value, int) or not _EARLIEST <= value <= _LATEST:
        raise BadValue(field, f"{shown(str(value))} is not a time; it must be in unix seconds, such as 1793491200")
    return datetime.fromtimestamp(value, UTC)


def _count(result: Json, field: str) -> int | None:
    value = result.get(field)
    return None if value is None else count(field, str(value))


def _text(result: Json, field: str) -> str:
    value = result.get(field)
    if value is not None and not isinstance(value, str):
        raise BadValue(field, f"{shown(str(value))} is not text")
    return name(field, value or "", required=False)


def _flag(result: Json, field: str) -> bool | None:
    value = result.get(field)
    if value is not None and not isinstance(value, bool):
        raise BadValue(field, f"{shown(str(value))} is neither true nor false")
    return value


def _notices(pages: list[Json], rows: list[UsageRow], results: list[Json]) -> Iterator[str]:
    if pages and pages[-1].get("has_more") is True:
        yield "The last page says that there are more pages; add them, or the last days are missing."
    if any(not row.model for row in rows):
        yield "Some usage names no model. Ask the Usage API with group_by=model to see spend by model."
    audio = sum(_count(result, field) or 0 for result in results for field in _AUDIO)
    if audio:
        yield f"{audio:,} audio tokens are left out: only text is compared with serving it yourselves."
