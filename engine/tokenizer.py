"""Text to token ids and back, by the model folder's own tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError

FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A folder without tokenizer files still serves token ids; only text is refused then."""

    folder: Path
    _inner: Any

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Raises InputError for files that are damaged."""
        if not any((folder / name).is_file() for name in FILES):
            return cls(folder, None)
        from transformers import AutoTokenizer  # two seconds to import

        try:
            return cls(folder, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
        except Exception as error:  # whatever its many readers raise
            reason = str(error).partition("\n")[0]
            raise InputError(f"the tokenizer in {folder} can't be read ({reason}); get its files again") from None

    def encode(self, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise InputError(f"prompt is {type(text).__name__}; it must be text")
        if self._inner is None:
            raise InputError(f"{self.folder} has no tokenizer: give prompt_token_ids instead of prompt")
        ids: list[int] = self._inner(text)["input_ids"]
        return ids

    def chat(self, messages: Any) -> list[int]:
        """A conversation by the model's own chat template, up to where the assistant answers.

        `messages` are `{"role", "content"}`, both text. Raises InputError where there is no template, or it fails.
        """
        if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
            raise InputError(f'messages is {messages!r}; it must be a list of {{"role": "user", "content": "…"}}')
        if self._inner is None or not self._inner.chat_template:
            raise InputError(f"{self.folder} has no chat template: give prompt or prompt_token_ids instead of messages")
        try:
            text = self._inner.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever a model's program raises
            reason = str(error).partition("\n")[0]
            raise InputError(f"the chat template in {self.folder} fails for these messages ({reason})") from None
        ids: list[int] = self._inner(text, add_special_tokens=False)["input_ids"]
        return ids

    def fast(self) -> Any:
        """The transformers tokenizer; raises InputError where the folder has none."""
        if self._inner is None:
            raise InputError(f"{self.folder} has no tokenizer, which stop texts and json_schema need")
        return self._inner

    def decode(self, ids: list[int]) -> str | None:
        """The text without special tokens, or None where the folder has no tokenizer."""
        return None if self._inner is None else str(self._inner.decode(ids, skip_special_tokens=True))

    def text(self, ids: list[int], stops: Sequence[str], min_tokens: int) -> str | None:
        """The text of a whole output, up to its first stop text; None where the folder has no tokenizer."""
        if not stops or self._inner is None:
            return self.decode(ids)
        stream = TextStream(self, stops, min_tokens)
        return "".join([*map(stream.push, ids), stream.flush()])


def _is_message(value: Any) -> bool:
    named = isinstance(value, dict) and value.keys() == {"role", "content"}
    return named and all(isinstance(text, str) for text in value.values())


class TextStream:
    """The text of a growing list of tokens, handed out as soon as no later token can change it.

    Held back are the bytes of an unfinished character, and what may turn out to begin a stop text. The first stop text
    behind the first `min_tokens` tokens ends the stream, and is no part of the text.

        ids   … │ context │ settled ........ newest
                the tokens from `context` to `settled` are decoded again for the spaces between them and the new ones
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), min_tokens: int = 0) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stops = stops
        self._min_tokens = min_tokens
        self._count = 0
        self._ids: list[int] = []  # from `context` on
        self._settled = 0
        self._held = ""

    @property
    def available(self) -> bool:
        """Whether there is a tokenizer to make text with."""
        return self._tokenizer.decode([]) is not None

    def push(self, token: int) -> str:
        """Take a token; returns the text that is certain now."""
        if self.stopped:
            return ""
        self._count += 1
        self._ids.append(token)
        new = self._undecided()
        if new.endswith("\ufffd"):
            return ""
        self._ids = self._ids[self._settled :]
        self._settled = len(self._ids)
        self._held += new
        return self._release()

    def flush(self) -> str:
        """The rest, once no more tokens come."""
        return "" if self.stopped else self._held + self._undecided()

    def _undecided(self) -> str:
        before = self._tokenizer.decode(self._ids[: self._settled]) or ""
        return (self._tokenizer.decode(self._ids) or "")[len(before) :]

    def _release(self) -> str:
        held, self._held = self._held, ""
        if self._count > self._min_tokens:
            found = [index for index in map(held.find, self._stops) if index >= 0]
            if found:
                self.stopped = True
                return held[: min(found)]
            keep = max((_overlap(held, stop) for stop in self._stops), default=0)
            self._held = held[len(held) - keep :]
            held = held[: len(held) - keep]
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
