"""A server on loopback that answers as the billing APIs of OpenAI, Anthropic and OpenRouter are documented to.

It refuses what they refuse: a key it does not know, a parameter they do not have, more buckets than a page may have.
`mishaps` are answers it gives first, before it behaves.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-admin-VERYSECRETfirst-0123456789-wXyZ"
Mishap = Callable[[BaseHTTPRequestHandler], None]
Query = dict[str, list[str]]


class Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


class ProviderServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.cents = KEY, Decimal("12.345678901234")
        self.mishaps: list[Mishap | None] = []
        self.asked: list[tuple[str, Query]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def provider_server() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int, **headers: str) -> Mishap:
    """As providers do, it repeats a part of the key in its error."""
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}).encode()
    return lambda handler: answer(handler, code, body, **headers)


def says(body: bytes) -> Mishap:
    return lambda handler: answer(handler, 200, body)


def hangs(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.0)


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: ProviderServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.server.asked.append((parts.path, query))
        mishap = self.server.mishaps.pop(0) if self.server.mishaps else None
        if mishap is not None:
            mishap(self)
            return
        try:
            body = json.dumps(self._page(parts.path, query), indent=1)
            answer(self, 200, body.encode())
        except Refused as refused:
            answer(self, refused.status, json.dumps({"error": {"message": f"refused {KEY}"}}).encode())

    def _page(self, path: str, query: Query) -> Any:
        make, most_days, groups, group_name = _REPORTS[path]
        if not self._key_is_right(path):
            raise Refused(401)
        if path == "/api/v1/activity":
            return {"data": [make(date(2026, 11, 1) + timedelta(days=day), self.server.cents) for day in range(29)]}
        first, end = _days(path, query)
        limit = int(query["limit"][0])
        if not 1 <= limit <= most_days or set(query.get(group_name, [])) - groups or query["bucket_width"] != ["1d"]:
            raise Refused(400)
        if "page" in query:
            first = _place(query["page"][0])
        days = [first + timedelta(days=day) for day in range(min(limit, (end - first).days))]
        after = first + timedelta(days=limit)
        page = {"data": [_bucket(path, day, make(day, self.server.cents)) for day in days], "has_more": after < end}
        return page | {"next_page": f"page_{after}" if after < end else None}

    def _key_is_right(self, path: str) -> bool:
        if path.startswith("/v1/organizations/"):
            return (self.headers["x-api-key"], self.headers["anthropic-version"]) == (self.server.key, "2023-06-01")
        return bool(self.headers["Authorization"] == f"Bearer {self.server.key}")

    def log_message(self, *_: Any) -> None:
        pass


def _place(cursor: str) -> date:
    try:
        return date.fromisoformat(cursor.removeprefix("page_"))
    except ValueError:
        raise Refused(400) from None


def _days(path: str, query: Query) -> tuple[date, date]:
    if path.startswith("/v1/organizations/"):
        first, end = (datetime.fromisoformat(query[name][0]) for name in ("starting_at", "ending_at"))
    else:
        first, end = (datetime.fromtimestamp(int(query[name][0]), UTC) for name in ("start_time", "end_time"))
    return first.date(), end.date()


def _bucket(path: str, day: date, results: Any) -> Any:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if path.startswith("/v1/organizations/"):
        times = {
            "starting_at": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "ending_at": f"{start + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        }
        return times | {"results": results}
    start_s = int(start.timestamp())
    return {"object": "bucket", "start_time": start_s, "end_time": start_s + 86_400, "results": results}


def _openai_costs(day: date, cents: Decimal) -> Any:
    amount = {"value": str(cents / 100), "currency": "usd"}
    more = {"object": "organization.costs.result", "project_id": "proj_a"}
    # Some days cost nothing, and a part of each day's cost is of no project.
    return [] if day.day == 13 else [
        more | {"amount": amount, "line_item": "gpt-5-2025-08-07, input"},
        more | {"amount": {"value": 0.5, "currency": "usd"}, "line_item": None, "project_id": None},
    ]  # fmt: skip


def _openai_usage(day: date, _: Decimal) -> Any:
    result = {
        "object": "organization.usage.completions.result", "input_tokens": 1000, "input_cached_tokens": 800,
        "output_tokens": 500, "input_audio_tokens": 0, "output_audio_tokens": 0, "num_model_requests": 5,
        "project_id": "proj_a", "user_id": None, "api_key_id": None, "model": "gpt-5-2025-08-07", "batch": False,
        "service_tier": "default",
    }  # fmt: skip
    return [result, result | {"project_id": None, "batch": True, "service_tier": None}]


def _anthropic_cost(day: date, cents: Decimal) -> Any:
    return [{
        "currency": "USD", "amount": str(cents), "workspace_id": None, "cost_type": "tokens",
        "description": "Claude Sonnet 4 Usage - Input Tokens", "context_window": "0-200k",
        "model": "claude-sonnet-4-20250514", "service_tier": "standard", "token_type": "uncached_input_tokens",
        "inference_geo": "global",
    }]  # fmt: skip


def _anthropic_usage(day: date, _: Decimal) -> Any:
    return [{
        "uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "server_tool_use": {"web_search_requests": 0}, "api_key_id": None, "workspace_id": "wrkspc_1",
        "model": "claude-sonnet-4-20250514", "service_tier": "standard", "context_window": None,
    }]  # fmt: skip


def _activity(day: date, cents: Decimal) -> Any:
    return {
        "date": f"{day}", "model": "openai/gpt-4.1", "model_permaslug": "openai/gpt-4.1-2025-04-14",
        "endpoint_id": "550e8400-e29b-41d4-a716-446655440000", "provider_name": "OpenAI", "usage": str(cents / 100),
        "byok_usage_inference": 0, "requests": 5, "prompt_tokens": 50, "completion_tokens": 125, "reasoning_tokens": 25,
    }  # fmt: skip


_REPORTS: dict[str, tuple[Callable[[date, Decimal], Any], int, set[str], str]] = {
    "/v1/organization/costs": (_openai_costs, 180, {"project_id", "line_item", "api_key_id"}, "group_by"),
    "/v1/organization/usage/completions": (
        _openai_usage, 31, {"project_id", "user_id", "api_key_id", "model", "batch", "service_tier"}, "group_by",
    ),
    "/v1/organizations/cost_report": (_anthropic_cost, 31, {"workspace_id", "description"}, "group_by[]"),
    "/v1/organizations/usage_report/messages": (
        _anthropic_usage, 31, {"api_key_id", "workspace_id", "model", "service_tier", "context_window"}, "group_by[]",
    ),
    "/api/v1/activity": (_activity, 0, set(), ""),
}  # fmt: skip
