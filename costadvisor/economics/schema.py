"""The JSON Schemas of a case and of an evaluation, made from the models. `docs/` holds them as files."""

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import Evaluation

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Plain(GenerateJsonSchema):
    """Without the titles that repeat each key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def case_json_schema() -> bytes:
    """Of `costadvisor.case/1`, written and resolved form alike; what the parts must be to each other is beyond it."""
    return _pretty(Case, "validation", "costadvisor.case/1")


def evaluation_json_schema() -> bytes:
    """Of `costadvisor.evaluation/1`, as `Evaluation.to_json` writes it."""
    return _pretty(Evaluation, "serialization", "costadvisor.evaluation/1")


def _pretty(model: type[BaseModel], mode: Any, name: str) -> bytes:
    generated = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Plain)
    schema = {"$schema": DRAFT, "$id": name} | generated
    return json.dumps(schema, indent=2, ensure_ascii=False).encode() + b"\n"
