"""A server on loopback that has the data file of genai-prices, in the file's own form; `answer` says it otherwise."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, PriceVariant, StartDateConstraint, TieredPrices

Json = dict[str, Any]
Answer = Callable[[BaseHTTPRequestHandler], None]
_PRICES = ("input_mtok", "cache_read_mtok", "output_mtok", "cache_write_mtok", "cache_write_1h_mtok", "requests_kcount")


class PriceServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file: list[Json] = price_file()
        self.answer: Answer | None = None
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.json"

    def model(self, provider: str, model: str) -> Json:
        models = next(known["models"] for known in self.file if known["id"] == provider)
        found: Json = next(known for known in models if known["id"] == model)
        return found


class _Handler(BaseHTTPRequestHandler):
    server: PriceServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.answer:
            self.server.answer(self)
        else:
            send(self, json.dumps(self.server.file, separators=(",", ":")).encode())

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def price_server() -> Iterator[PriceServer]:
    with PriceServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def send(handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def price_file() -> list[Json]:
    """What the package has, written as the file writes it; models with prices by the hour are left out."""
    return [
        {
            "id": provider.id,
            "name": provider.name,
            "api_pattern": provider.api_pattern,
            "models": [
                {"id": info.id, "match": {"equals": info.id}, "prices": _listed(info.prices)}
                | (
                    {"price_variants": [_variant(known) for known in info.price_variants]}
                    if info.price_variants
                    else {}
                )
                for info in provider.models
                if _dated(info.prices)
            ],
        }
        for provider in get_snapshot().providers
    ]


def _dated(prices: Any) -> bool:
    listed = [] if isinstance(prices, ModelPrice) else [known.constraint for known in prices]
    return all(known is None or isinstance(known, StartDateConstraint) for known in listed)


def _listed(prices: Any) -> Any:
    if isinstance(prices, ModelPrice):
        return _price(prices)
    return [_constrained(known) for known in prices]


def _variant(variant: PriceVariant) -> Json:
    return {"when": variant.when} | _constrained(variant)


def _constrained(known: Any) -> Json:
    start = {"constraint": {"start_date": known.constraint.start_date.isoformat()}} if known.constraint else {}
    return start | {"prices": _price(known.prices)}


def _price(prices: ModelPrice) -> Json:
    given = {name: getattr(prices, name) for name in _PRICES}
    return {name: _amount(value) for name, value in given.items() if value is not None}


def _amount(value: Decimal | TieredPrices) -> Any:
    if isinstance(value, TieredPrices):
        tiers = [{"start": tier.start, "price": float(tier.price)} for tier in value.tiers]
        return {"base": float(value.base), "tiers": tiers}
    return float(value)
