"""One file over HTTP, whole or not at all. The address is the operator's setting; a redirect would lead elsewhere, and
so is not followed."""

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from costadvisor.catalog.sources.reading import UnreadableError

_BLOCK = 2**16


@dataclass(frozen=True)
class Bounds:
    """Seconds without a byte, seconds in all, and bytes."""

    silent_s: float
    whole_s: float
    most_bytes: int


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def download(url: str, bounds: Bounds) -> bytes:
    """Raises UnreadableError, which says nothing of what was answered."""
    request = urllib.request.Request(url, headers={"User-Agent": "costadvisor"})  # noqa: S310 - the operator's setting
    try:
        with _opener.open(request, timeout=bounds.silent_s) as answer:
            return _body(answer, bounds)
    except urllib.error.HTTPError as error:
        with error:
            raise UnreadableError(_refusal(error.code)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        said = "it took too long to answer" if isinstance(reason, TimeoutError) else type(reason).__name__
        raise UnreadableError(f"could not be reached ({said})") from None


def _body(answer: http.client.HTTPResponse, bounds: Bounds) -> bytes:
    found, until = bytearray(), time.monotonic() + bounds.whole_s
    while block := answer.read(_BLOCK):
        found += block
        if len(found) > bounds.most_bytes:
            raise UnreadableError(f"is larger than {bounds.most_bytes / 2**20:,.0f} MiB (PRICES_MAX_BYTES)")
        if time.monotonic() > until:
            raise TimeoutError
    if answer.length:
        raise UnreadableError("broke off before its end")
    return bytes(found)


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"leads to another address ({status}), which is not followed; set PRICES_URL to the file's own"
    return f"answered {status}"
