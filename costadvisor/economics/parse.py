"""Reads a case, and says in one line what is wrong with one that can't be read.

`parse_case(raw)` takes JSON text or what JSON gives (dicts, lists, strings, numbers). It accepts the written form and
the resolved form (see `case`); `evaluate` demands the resolved one. A resolver therefore parses, replaces what it
knows in `case.model_dump(by_alias=True)` or with `model_copy(update=...)`, and parses the result again.
"""

import difflib
import hashlib
import json
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from costadvisor.economics.case import Case
from costadvisor.economics.consistency import check_consistency
from costadvisor.economics.errors import CaseError
from costadvisor.economics.quantities import Quantity
from costadvisor.economics.vocabulary import Part

SEE = "docs/case.md shows every key"


def parse_case(raw: dict[str, Any] | str) -> Case:
    """The case, with every default filled in. Raises CaseError(path, problem, remedy) on the first thing wrong."""
    data = _read_json(raw) if isinstance(raw, str) else raw
    try:
        case = Case.model_validate(data)
    except ValidationError as error:
        raise _case_error(data, error.errors(include_url=False)[0]) from None
    check_consistency(case)
    return case


def case_bytes(case: Case) -> bytes:
    """Canonical JSON: every default written out, keys sorted, money as strings. It parses to the same case."""
    content = case.model_dump(mode="json", by_alias=True)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def case_sha256(case: Case) -> str:
    """The identity of a case: two spellings of the same case have the same hash."""
    return hashlib.sha256(case_bytes(case)).hexdigest()


# What is no number, in words: keys that take several shapes, and keys that hold the rest.
_SHAPES = {
    "hourly_shape": '"flat", {"peak_to_mean": 2.2} or 168 weights, Monday 00:00 UTC first',
    "input_tokens": '{"mean": tokens} or {"trace": path}',
    "output_tokens": '{"mean": tokens} or {"trace": path}',
}
_WHOLE = {
    "schema": '"costadvisor.case/1"',
    "as_of": "the day of the prices, such as 2026-11-01",
    "workload": "the traffic: requests_per_month, input_tokens and output_tokens",
    "options": "the list of what you use today and what to compare with it",
    "id": "a short name of your own, such as today",
    "kind": "api, self_host, hybrid, routed or provisioned",
    "provider": "who sells it, such as openai",
    "model": "the name of the model, such as Qwen3-8B",
    "hardware": 'what one replica runs on, such as {"gpu": "H100"}',
    "gpu": "the name of the GPU, such as H100, or CPU",
    "base": "the id of a self_host option of this case",
    "overflow": "the id of an api option of this case",
    "small": "the id of an option of this case",
    "large": "the id of an option of this case",
    "measure": "the name of what was scored",
    "reference": "the id of the option that quality is held against",
    "grade": "A, B, C, D or E",
    "basis": "billed, measured, imported, estimated or assumed",
    "source": "where the number is from",
}


class _GivenTwice:
    """Stands for the value of a key that an object has twice, so that the error names its path."""


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CaseError("/", f"is not JSON ({error.msg} at {where})", "give one JSON object") from None
    except (ValueError, RecursionError):
        raise CaseError("/", "is not a case (a number or a nesting too long to read)", SEE) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        given |= {name: _GivenTwice() for name in given if names.count(name) > 1}
    return given


def _case_error(data: object, error: ErrorDetails) -> CaseError:
    kind, context = error["type"], error.get("ctx", {})
    missing = kind in ("missing", "union_tag_not_found")
    location = (*error["loc"], "kind") if kind.startswith("union_tag") else error["loc"]
    path = _path(data, location, missing=missing)
    if missing:
        return CaseError(path, "is missing", _how_to_add(str(location[-1])))
    if kind == "extra_forbidden":
        return CaseError(path, "is not a key of a case", _how_to_spell(str(location[-1])))
    found = context["tag"] if kind == "union_tag_invalid" else error["input"]
    if isinstance(found, _GivenTwice):
        return CaseError(path, "is given twice", "give it once")
    field = path.rsplit("/", 1)[-1]
    return CaseError(path, f"is {_shown(found)}", f"must be {_SHAPES.get(field) or _needed(kind, context)}")


def _path(data: object, location: tuple[int | str, ...], *, missing: bool) -> str:
    """A JSON pointer with options by id. Names of a union's members, which are not in the data, are left out."""
    steps, here = [], data
    for step in location:
        if isinstance(here, dict) and step in here:
            here = here[step]
            steps.append(str(step))
        elif isinstance(here, list | tuple) and isinstance(step, int) and step < len(here):
            here = here[step]
            named = here.get("id") if steps == ["options"] and isinstance(here, dict) else None
            steps.append(named if isinstance(named, str) and named else str(step))
    if missing:
        steps.append(str(location[-1]))
    return "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)


def _needed(kind: str, context: dict[str, Any]) -> str:
    if "expected_tags" in context or "expected" in context:
        allowed = str(context.get("expected_tags", context.get("expected"))).replace(" or ", ", ")
        return f"one of {allowed}" if "," in allowed else allowed
    words = {
        "quantity": context.get("needed"),
        "string_pattern_mismatch": "a letter or digit, then up to 63 letters, digits or . _ + : -",
        "string_too_short": "text of at least 1 character",
        "string_too_long": f"text of at most {context.get('max_length')} characters",
        "string_type": "text",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "too_short": f"at least {context.get('min_length')} long",
        "too_long": f"at most {context.get('max_length')} long",
    }
    return words.get(kind) or "an object with keys; " + SEE


def _shown(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = str(value) if isinstance(value, Decimal) else "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _keys() -> dict[str, str]:
    """Every key of a case, with the words for what it must be (empty where it is not a quantity)."""
    needed: dict[str, str] = {}
    parts = list(Part.__subclasses__())
    for part in parts:
        parts.extend(part.__subclasses__())
        for name, field in part.model_fields.items():
            quantity = next((known for known in field.metadata if isinstance(known, Quantity)), None)
            needed[field.alias or name] = quantity.needed if quantity else ""
    return needed


def _how_to_add(key: str) -> str:
    needed = _keys().get(key) or _SHAPES.get(key) or _WHOLE.get(key)
    return f"it must be {needed}" if needed else f"add it: {SEE}"


def _how_to_spell(key: str) -> str:
    close = difflib.get_close_matches(key, _keys(), n=1)
    return f"did you mean {close[0]}?" if close else f"remove it: {SEE}"
