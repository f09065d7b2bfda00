"""One request over the wire: its body, the stream that comes back, and what can go wrong with it.

No retries, no redirects, no proxies, no cookies, and no limit on connections: what is measured is the server.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.calibrate.client.address import Address, Api

Body = dict[str, Any]

CONNECT_S = 10.0
KEEPALIVE_S = 4.0  # uvicorn closes what was idle for 5; a request sent into that would be lost, as there are no retries
LONGEST_LINE = 1 << 20
EXCERPT = 300  # characters of a server's own words
REFUSALS = (400, 404, 405, 415, 422)  # of what was asked for, not of who asks or when


class Failure(Exception):
    """A request that failed. `reason` is one of few, to be counted; `detail` is what a person wants to know."""

    def __init__(self, reason: str, detail: str, status: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.status = status

    @property
    def refused(self) -> bool:
        """Whether another form of the same request might be taken."""
        return self.status in REFUSALS


@dataclass(slots=True)
class Answer:
    """What has come back of a request.

    `reads` are (monotonic clock, events with a token) for each piece of the stream that had any. Servers may put
    several tokens into an event; how many there were in all, only the usage at the end says.
    """

    on_first: Callable[[], None] = lambda: None
    reads: list[tuple[float, int]] = field(default_factory=list)
    events: int = 0  # with a token, in all
    text: list[str] = field(default_factory=list)
    closed_at: float | None = None  # when an event without text said that this was all
    ended: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.events if self.completion_tokens is None else self.completion_tokens

    def gaps(self) -> list[tuple[float, float]]:
        """(clock, seconds) between one piece of the stream and the next, where that had a single event."""
        pairs = zip(self.reads, self.reads[1:], strict=False)
        return [(at, at - before) for (before, _), (at, count) in pairs if count == 1]

    def hear(self, at: float, events: list[Body]) -> None:
        """Take the events of one piece of the stream."""
        count = sum(map(self._token, events))
        if count:
            self._read(at, count)
        elif self.ended and self.closed_at is None:
            self.closed_at = at

    def finish(self) -> None:
        """The stream is over. Count the last token if it had no text of its own: it came with the event that ended the
        answer. Raises Failure when no event did, or when there was no token."""
        if not self.ended:
            raise Failure("stream cut", "it ended before the answer did")
        if self.closed_at is not None and self.completion_tokens == self.events + 1:
            self._read(self.closed_at, 1)
        if not self.events:
            raise Failure("garbage", "an answer without a token")

    def _read(self, at: float, count: int) -> None:
        self.reads.append((at, count))
        self.events += count
        if self.events == count:
            self.on_first()

    def _token(self, event: Body) -> bool:
        """Whether an event brings a token. One without text does in a completion (half a character, say), but in a
        chat it only opens the answer."""
        if event.get("error"):
            raise Failure("error in the stream", json.dumps(event["error"]))
        self._usage(event.get("usage") or {})
        choices = event.get("choices")
        if not choices:
            return False
        choice = choices[0]
        delta = choice.get("delta")
        text = choice.get("text") if delta is None else delta.get("content") or delta.get("reasoning_content")
        ends = choice.get("finish_reason") is not None
        self.ended = self.ended or ends
        if text:
            self.text.append(text)
        return bool(text) or (delta is None and not ends)

    def _usage(self, usage: Body) -> None:
        """The last one counts; some servers send it with every event."""
        details = usage.get("prompt_tokens_details") or {}
        self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
        self.completion_tokens = _count(usage.get("completion_tokens"), self.completion_tokens)
        self.cached_tokens = _count(details.get("cached_tokens"), self.cached_tokens) or 0


class Wire:
    """Sends requests to one server at its pinned address. A context manager that must be entered in a running loop."""

    def __init__(self, address: Address, api: Api, key: str | None, silence_s: float) -> None:
        self.address = address
        self.chat = api == "chat"
        self.url = address.url + ("/chat/completions" if self.chat else "/completions")
        self.silence_s = silence_s
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Wire":
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, resolver=_Pinned(self.address))
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self.silence_s),
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the wire was not entered")
        return self._session

    async def models(self) -> list[str]:
        """Names the server lists, none when it keeps no list; raises Failure."""
        try:
            async with self.session.get(f"{self.address.url}/models", allow_redirects=False) as response:
                if response.status in REFUSALS:
                    return []
                await _check_status(response)
                listed = json.loads(await response.read())
                return [str(model["id"]) for model in listed["data"]]
        except (ValueError, KeyError, TypeError):
            return []
        except (Failure, aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from None

    async def stream(self, body: bytes, answer: Answer) -> None:
        """Send a request and hear its answer to the end; raises Failure, with what had come until then in `answer`."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        try:
            async with self.session.post(self.url, data=body, headers=headers, allow_redirects=False) as response:
                await _check_status(response)
                if response.content_type != "text/event-stream":
                    raise Failure("not an event stream", f"the content type is {response.content_type}")
                async for at, events in _events(response.content):
                    answer.hear(at, events)
                answer.finish()
        except (Failure, aiohttp.ClientError, OSError, AttributeError, TypeError, LookupError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Failure:
        """What an error means, without the key, which some servers repeat."""
        failure = error if isinstance(error, Failure) else self._meaning(error)
        detail = failure.detail.replace(self._key, "***") if self._key else failure.detail
        return Failure(failure.reason, _excerpt(detail), failure.status)

    def _meaning(self, error: Exception) -> Failure:
        if isinstance(error, AttributeError | TypeError | LookupError):
            return Failure("garbage", f"an event of another shape than OpenAI's ({error})")
        if isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return Failure("silence", f"nothing came for {self.silence_s:g} s")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            why = os.strerror(error.errno) if error.errno else str(error)
            return Failure("no connection", f"{self.address.host}:{self.address.port} ({why})")
        if isinstance(error, aiohttp.ClientPayloadError):
            return Failure("stream cut", "the connection closed in the middle of it")
        return Failure("connection lost", str(error) or type(error).__name__)


class _Pinned(AbstractResolver):
    """Knows one host, and the address it was found at in the beginning."""

    def __init__(self, address: Address) -> None:
        self.address = address

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        if host != self.address.host:
            raise OSError(f"{host} is not the endpoint")
        found = socket.AF_INET6 if ":" in self.address.ip else socket.AF_INET
        return [ResolveResult(hostname=host, host=self.address.ip, port=port, family=found, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""


def _count(value: object, before: int | None) -> int | None:
    return value if type(value) is int and value >= 0 else before


async def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        said = (await response.content.read(10 * EXCERPT)).decode(errors="replace")
        if 300 <= response.status < 400:
            said = f"to {response.headers.get('Location', '?')}; redirects are not followed"
        raise Failure(f"HTTP {response.status}", said, response.status)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[tuple[float, list[Body]]]:
    """The events that came in one piece, with the moment it was received."""
    rest = b""
    async for piece in content.iter_any():
        at = time.monotonic()
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise Failure("garbage", "a line of the stream has no end")
        yield at, _parsed(lines)
    yield time.monotonic(), _parsed([rest])


def _parsed(lines: list[bytes]) -> list[Body]:
    """The data of server-sent events, a line each, as every such server sends them; comments are skipped."""
    data = (line[5:].strip() for line in lines if line.startswith(b"data:"))
    return [_event(text) for text in data if text != b"[DONE]"]


def _event(text: bytes) -> Body:
    try:
        event: Body = json.loads(text)
    except ValueError:
        raise Failure("garbage", f"an event is not JSON: {text.decode(errors='replace')}") from None
    return event


def _excerpt(text: str) -> str:
    """One line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"
