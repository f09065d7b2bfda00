"""One GET with a key: the body, or why there is none in words that are safe to show.

Nothing of the key, the request or the answer's body is in an error: providers repeat parts of a key in theirs.
A redirect is not followed, for the key would go along.
"""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_BLOCK = 2**16
_TOO_MANY, _REFUSED, _GONE = 429, (401, 403), (400, 404, 410)
LONGEST_WAIT_S = 24 * 3600.0


class PullError(Exception):
    """`str()` is one line for a person."""


class KeyRefused(PullError):
    """The provider does not take the key."""


class RequestRefused(PullError):
    """The provider does not know what is asked, such as a cursor that is too old."""


class TooOften(PullError):
    """The provider wants to be left alone for `wait_s`."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Unreachable(PullError):
    """No whole answer came; it may, a little later."""


@dataclass(frozen=True)
class Bounds:
    """Of one answer: seconds without a byte, seconds in all, and bytes."""

    silent_s: float = 30
    whole_s: float = 120
    most_bytes: int = 64 * 2**20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def get(url: str, headers: Mapping[str, str], bounds: Bounds) -> bytes:
    """Raises a PullError. `url` is one of the installation's settings, never of a user's making."""
    request = urllib.request.Request(url, headers={"User-Agent": "costadvisor", **headers})  # noqa: S310 - see above
    try:
        with _opener.open(request, timeout=bounds.silent_s) as answer:
            return _body(answer, bounds)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.headers.get("Retry-After", "")) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        said = "it took too long to answer" if isinstance(reason, TimeoutError) else type(reason).__name__
        raise Unreachable(f"It could not be reached ({said}).") from None


def _body(answer: http.client.HTTPResponse, bounds: Bounds) -> bytes:
    found, until = bytearray(), time.monotonic() + bounds.whole_s
    while block := answer.read(_BLOCK):
        found += block
        if len(found) > bounds.most_bytes:
            raise PullError(f"It answered with more than {bounds.most_bytes // 2**20:,} MiB (BILL_MAX_JSON_BYTES).")
        if time.monotonic() > until:
            raise TimeoutError
    if answer.length:
        raise Unreachable("Its answer broke off.")
    return bytes(found)


def _refusal(status: int, retry_after: str) -> PullError:
    if status == _TOO_MANY:
        return TooOften("It answers no more for now (429).", _wait_s(retry_after))
    if status in _REFUSED:
        return KeyRefused(f"It answered {status}.")
    if status in _GONE:
        return RequestRefused(f"It refused the request ({status}).")
    if status >= 500:
        return Unreachable(f"It has an error of its own ({status}).")
    return PullError(f"It answered {status}, which was not expected.")


def _wait_s(retry_after: str) -> float:
    """Seconds, or a date; a minute where neither is there."""
    try:
        waited = float(retry_after)
    except ValueError:
        try:
            waited = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            waited = 60.0
    return min(max(waited, 0.0), LONGEST_WAIT_S) if waited == waited else 60.0  # NaN is not itself
