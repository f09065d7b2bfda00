"""Requests as OpenAI's API puts them, and answers as it gives them."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from engine.calibrate.mock.replica import Generation
from engine.errors import InputError

Json = dict[str, Any]

TEMPLATE = 8  # tokens that a chat's template adds


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    model: str
    prompt: list[int]
    max_tokens: int
    chat: bool
    stream: bool
    usage: bool

    @classmethod
    def of(cls, raw: Json, *, chat: bool) -> "Asked":
        """Read a request's body; raises InputError."""
        max_tokens = raw.get("max_tokens") or raw.get("max_completion_tokens") or 16
        if type(max_tokens) is not int or max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens!r}; it must be a whole number from 1 up")
        stream = bool(raw.get("stream"))
        return cls(
            model=str(raw.get("model")),
            prompt=_chat_ids(raw.get("messages")) if chat else _ids(raw.get("prompt")),
            max_tokens=max_tokens,
            chat=chat,
            stream=stream,
            usage=not stream or bool((raw.get("stream_options") or {}).get("include_usage")),
        )

    def event(self, tokens: list[int], *, ends: bool) -> Json:
        """One event of the stream, or the only answer."""
        text = "".join(f" w{token}" for token in tokens)
        reason = "length" if ends else None
        content = {"delta": {"content": text}} if self.chat and self.stream else {"text": text}
        if self.chat and not self.stream:
            content = {"message": {"role": "assistant", "content": text}}
        return {"model": self.model, "choices": [{"index": 0, **content, "finish_reason": reason}]}

    def opening(self) -> Json:
        """The first event of a chat, which has no token."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return {"model": self.model, "choices": [choice]}

    def usage_event(self, generation: Generation) -> Json:
        return {"model": self.model, "choices": [], "usage": usage_of(generation)}


def usage_of(generation: Generation) -> Json:
    request = generation.request
    return {
        "prompt_tokens": len(request.prompt),
        "completion_tokens": len(request.output),
        "total_tokens": len(request.tokens),
        "prompt_tokens_details": {"cached_tokens": request.cached_tokens},
    }


def sse(event: Json) -> bytes:
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def error(status: int, message: str) -> Json:
    """In OpenAI's shape."""
    return {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error"}}


def _ids(prompt: Any) -> list[int]:
    """Token ids as they are; of a text, one for the beginning and one a word."""
    if isinstance(prompt, str):
        return [1, *(zlib.crc32(word.encode()) % 30000 for word in prompt.split())]
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    raise InputError("prompt must be a text or a list of token ids")


def _chat_ids(messages: Any) -> list[int]:
    try:
        text = " ".join(message["content"] for message in messages)
    except (TypeError, KeyError):
        raise InputError("messages must be a list of objects with a content that is a text") from None
    return [*range(2, TEMPLATE + 1), *_ids(text)]
