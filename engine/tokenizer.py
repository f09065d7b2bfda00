"""Text to token ids and back, by the model folder's own tokenizer."""

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
        if not any((folder / name).is_file() for name in FILES):
            return cls(folder, None)
        from transformers import AutoTokenizer  # two seconds to import

        return cls(folder, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False))

    def encode(self, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise InputError(f"prompt is {type(text).__name__}; it must be text")
        if self._inner is None:
            raise InputError(f"{self.folder} has no tokenizer: give prompt_token_ids instead of prompt")
        ids: list[int] = self._inner(text)["input_ids"]
        return ids

    def decode(self, ids: list[int]) -> str | None:
        """The text without special tokens, or None where the folder has no tokenizer."""
        return None if self._inner is None else str(self._inner.decode(ids, skip_special_tokens=True))
