"""Servers that misbehave, chosen by the name of the model that is asked for: `mock:cut` cuts every stream, `mock:cut/5`
that of every fifth request."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from engine.errors import InputError

FAULTS = {
    "key": "refuses every key but the right one, and repeats it",
    "http429": "too many requests",
    "http500": "an internal error",
    "redirect": "sends the client elsewhere",
    "html": "a web page in place of a stream",
    "stall": "nothing more after the first token",
    "garbage": "an event that is not JSON",
    "shape": "an event that is JSON of another shape",
    "error": "an error in the middle of the stream",
    "cut": "a closed connection in the middle of the stream",
    "ended": "a stream that ends before the answer does",
    "no_ids": "refuses token ids",
    "no_options": "refuses ignore_eos and min_tokens",
    "no_usage": "no usage at the end",
    "pairs": "two tokens in each event",
    "closing": "the last token in an event without text",
    "short": "half of the tokens asked for",
}


class Faults:
    """Says which requests meet which fault."""

    def __init__(self) -> None:
        self._counts: dict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))

    def of(self, model: str) -> str | None:
        """The fault of this request; raises InputError for a model that there is none of."""
        name, _, kind = model.partition(":")
        fault, _, every = kind.partition("/")
        if name != "mock" or (kind and fault not in FAULTS) or (every and not every.isdecimal()):
            raise InputError(
                f"the model {model!r} does not exist; there are mock and mock:FAULT, for {', '.join(FAULTS)}"
            )
        return fault if kind and next(self._counts[model]) % int(every or 1) == 0 else None
