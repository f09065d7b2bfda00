"""The HTTP side of the mock: completions, chat completions, models, and what it knows of the requests it served."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict

from aiohttp import web

from engine.calibrate.mock.answers import Asked, Json, error, sse, usage_of
from engine.calibrate.mock.faults import FAULTS, Faults
from engine.calibrate.mock.replica import Generation, Replica, Served
from engine.errors import InputError

LARGEST_BODY = 64 << 20
KEPT = 100_000  # requests of the log
RIGHT_KEY = "Bearer right"  # of the fault `key`


class Server:
    """An OpenAI-compatible face of a replica. `GET /log` lists its requests in the order they came, with the moments of
    the monotonic clock at which each came and had its first and last token by the formula."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.faults = Faults()
        self.served: deque[Served] = deque(maxlen=KEPT)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_BODY)
        application.add_routes(
            [
                web.post("/v1/completions", self.completions),
                web.post("/v1/chat/completions", self.chat),
                web.get("/v1/models", self.models),
                web.get("/log", self.log),
            ]
        )
        application.cleanup_ctx.append(self._serving)
        return application

    async def completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model"}]})

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"behind_ms": 1000 * self.replica.behind_s, "requests": [asdict(served) for served in self.served]}
        )

    async def _serving(self, application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.replica.serve())
        yield
        task.cancel()

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        arrived_s = time.monotonic()
        try:
            raw = json.loads(await request.read())
            asked = Asked.of(raw, chat=chat)
            fault = self.faults.of(asked.model)
            _refuse(raw, fault)
            max_tokens = max(1, asked.max_tokens // 2) if fault == "short" else asked.max_tokens
            refusal = _turned_away(fault, request.headers.get("Authorization", ""))
            if refusal is not None:
                return refusal
            generation = self.replica.submit(asked.prompt, max_tokens, arrived_s)
        except (ValueError, AttributeError) as bad:
            return web.json_response(error(400, str(bad)), status=400)
        self.served.append(generation.served)
        try:
            return await (_stream(request, asked, generation, fault) if asked.stream else _whole(asked, generation))
        finally:
            self.replica.cancel(generation)


def _refuse(raw: Json, fault: str | None) -> None:
    if fault == "no_ids" and isinstance(raw.get("prompt"), list):
        raise InputError("prompt must be a text")
    if fault == "no_options" and raw.keys() & {"ignore_eos", "min_tokens"}:
        raise InputError("unknown parameter: ignore_eos or min_tokens")


def _turned_away(fault: str | None, authorization: str) -> web.Response | None:
    """The answer of a server that does not even begin."""
    if fault == "key" and authorization != RIGHT_KEY:
        return web.json_response(error(401, f"wrong key: {authorization}"), status=401)
    if fault in ("http429", "http500"):
        status = int(fault[-3:])
        return web.json_response(error(status, FAULTS[fault]), status=status)
    if fault == "redirect":
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/v1/completions"})
    if fault == "html":
        return web.Response(text="<p>Welcome</p>", content_type="text/html")
    return None


async def _whole(asked: Asked, generation: Generation) -> web.Response:
    tokens = [token async for token in _tokens(generation)]
    return web.json_response(asked.event(tokens, ends=True) | {"usage": usage_of(generation)})


async def _stream(request: web.Request, asked: Asked, generation: Generation, fault: str | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    with contextlib.suppress(ConnectionResetError):  # the client went away: its requests at the end of a level are cut
        await response.prepare(request)
        await _events(response, request, asked, generation, fault)
    return response


async def _events(
    response: web.StreamResponse, request: web.Request, asked: Asked, generation: Generation, fault: str | None
) -> None:
    if asked.chat:
        await response.write(sse(asked.opening()))
    held: list[int] = []
    async for token in _tokens(generation):
        held.append(token)
        ends = len(generation.request.tokens) == generation.request.limit and generation.tokens.qsize() == 1
        if fault == "pairs" and len(held) == 1 and not ends:
            continue
        await response.write(sse(asked.event([] if ends and fault == "closing" else held, ends=ends)))
        held = []
        if await _broken(response, request, fault):
            return
    if asked.usage and fault != "no_usage":
        await response.write(sse(asked.usage_event(generation)))
    await response.write(b"data: [DONE]\n\n")


async def _broken(response: web.StreamResponse, request: web.Request, fault: str | None) -> bool:
    """Do what a faulty server does after its first token; True when nothing may follow."""
    if fault == "stall":
        await asyncio.Event().wait()
    if fault == "cut" and request.transport is not None:
        request.transport.abort()
    if fault == "garbage":
        await response.write(b"data: {not JSON\n\n")
    if fault == "shape":
        await response.write(b'data: {"choices": [7]}\n\n')
    if fault == "error":
        await response.write(sse(error(500, FAULTS["error"])))
    return fault in ("cut", "ended")


async def _tokens(generation: Generation) -> AsyncIterator[int]:
    while (token := await generation.tokens.get()) is not None:
        yield token
