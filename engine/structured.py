"""Structured output: which tokens keep the text on its way to JSON of a schema, by the llguidance library."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import llguidance.hf
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from engine.errors import InputError
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# On one line, spaced as json.dumps does it: a model that may write any white space may write nothing else for long.
LAYOUT: "JsonCompileOptions" = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class JsonGrammar:
    """Makes a mask for each request. Reading the vocabulary takes a second, so keep it as long as the model."""

    def __init__(self, tokenizer: Tokenizer, vocab: int, stop_ids: Iterable[int]) -> None:
        self._vocab = vocab
        self._tokenizer: LLTokenizer = llguidance.hf.from_tokenizer(tokenizer.fast(), vocab, sorted(stop_ids) or None)

    def mask(self, schema: Mapping[str, Any]) -> "JsonMask":
        """Raises InputError for what is no JSON schema, or is one that the library can't enforce."""
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=LAYOUT)
        problem = LLMatcher.validate_grammar(grammar, self._tokenizer)
        if problem and not problem.startswith("WARNING"):
            raise InputError(f"json_schema: {problem.splitlines()[0]}")
        return JsonMask(LLMatcher(self._tokenizer, grammar), self._vocab)


class JsonMask:
    """The place of one request in its schema (an `engine.request.TokenMask`)."""

    def __init__(self, matcher: LLMatcher, vocab: int) -> None:
        self._matcher = matcher
        self._vocab = vocab

    def allowed(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(bits, count=self._vocab, bitorder="little").astype(np.bool_)

    def accept(self, token: int) -> bool:
        if not self._matcher.consume_token(token):
            raise RuntimeError(f"token {token} was drawn against its mask: {self._matcher.get_error()}")
        return self._matcher.is_stopped()
