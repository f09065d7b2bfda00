"""One page of a report, asked for again while that may help."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from costadvisor.spend.pulling.http import Bounds, PullError, TooOften, Unreachable, get


@dataclass(frozen=True)
class Patience:
    """How often a page is asked for, and how long is waited between: `backoff_s` doubled each time, or what the
    provider says if that is no more than `longest_wait_s`."""

    tries: int = 4
    backoff_s: float = 1.0
    longest_wait_s: float = 60.0


@dataclass(frozen=True)
class Page:
    """`line` is the page as it came, on one line; `cursor` asks for the next one and is empty on the last."""

    line: bytes
    cursor: str


def page_get(url: str, query: list[tuple[str, str]], headers: Mapping[str, str], bounds: Bounds, how: Patience) -> Page:
    """Raises PullError: TooOften where the provider wants a longer wait than is worth it here."""
    whole = f"{url}?{urlencode(query)}" if query else url
    for again in range(how.tries):
        try:
            return _page(get(whole, headers, bounds))
        except TooOften as error:
            if error.wait_s > how.longest_wait_s or again == how.tries - 1:
                raise
            time.sleep(error.wait_s)
        except Unreachable:
            if again == how.tries - 1:
                raise
            time.sleep(how.backoff_s * 2**again)
    raise AssertionError("unreachable: the last try returns or raises")


def _page(body: bytes) -> Page:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        raise PullError("Its answer is no JSON.") from None
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise PullError("Its answer has no list “data”.")
    cursor = page.get("next_page") if page.get("has_more") is True else ""
    if not isinstance(cursor, str) or (page.get("has_more") is True and not 0 < len(cursor) <= 2000):
        raise PullError("Its answer says that there is more, and not where.")
    # A line break in JSON is never inside a string: digits stay as they are written.
    return Page(body.replace(b"\r", b" ").replace(b"\n", b" "), cursor)
