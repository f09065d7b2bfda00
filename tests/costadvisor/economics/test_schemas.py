"""The committed JSON Schemas are what the code says, and every example keeps to them and runs."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from costadvisor.economics import case_bytes, case_sha256, evaluate, parse_case
from costadvisor.economics.schema import case_json_schema, evaluation_json_schema
from tests.costadvisor.economics.cases import api, case, fleet

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = re.findall(r"```json\n(.*?)```", (DOCS / "case.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("file", "generated"),
    [("case.schema.json", case_json_schema()), ("evaluation.schema.json", evaluation_json_schema())],
)
def test_committed_schemas_equal_the_code(file: str, generated: bytes) -> None:
    assert (DOCS / file).read_bytes() == generated, f"write docs/{file} anew from costadvisor.economics.schema"
    Draft202012Validator.check_schema(json.loads(generated))


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_keep_to_the_schemas_and_run(text: str) -> None:
    found = parse_case(text)
    for written in (json.loads(text), json.loads(case_bytes(found))):
        Draft202012Validator(json.loads(case_json_schema())).validate(written)
    evaluation = evaluate(found.model_copy(update={"draws": 200}))
    Draft202012Validator(json.loads(evaluation_json_schema())).validate(json.loads(evaluation.to_json()))
    assert evaluation.checks[-1].id == "master"
    assert all(check.ok for check in evaluation.checks)


DEFAULTS = re.findall(
    r"^\| `([a-z_.]+)` \| (-?[\d.]+) \|", (DOCS / "how-it-decides.md").read_text(encoding="utf-8"), re.M
)


@pytest.mark.parametrize(("key", "default"), DEFAULTS)
def test_documented_defaults_are_the_codes(key: str, default: str) -> None:
    bare = {
        "id": "h100",
        "kind": "self_host",
        "model": "m",
        "hardware": {"gpu": "H100"},
        "capacity": {"tokens_per_s": 1},
    }
    written = case(api(), bare, workload={"hourly_shape": None})
    del written["drift"], written["workload"]["hourly_shape"]
    part, _, field = key.rpartition(".")
    parsed = parse_case(written)
    home = {"": parsed, "drift": parsed.drift, "workload": parsed.workload}
    known = home.get(part) or getattr(parsed.options[1], part, None) or parsed.workload.hourly_shape
    assert getattr(known, field) == Decimal(default)


def test_enough_defaults_are_documented() -> None:
    assert len(DEFAULTS) >= 20


def test_the_written_form_of_every_kind_keeps_to_the_schema() -> None:
    written: dict[str, Any] = case(
        api(prices=None, latency={"ttft_p95_ms": 500}) | {"prices": None},
        fleet(capacity={"record": "record.json"}, hardware={"usd_per_hour": None}),
        fleet("own", hardware={"plan": "owned", "usd_per_hour": None, "purchase_usd": "30000"}),
        {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"},
        {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": 0.6},
        {
            "id": "ptu",
            "kind": "provisioned",
            "provider": "azure",
            "model": "gpt-4o",
            "usd_per_unit_hour": "1",
            "requests_per_s_per_unit": 0.5,
        },
        workload={"input_tokens": {"trace": "trace.csv"}},
    )
    Draft202012Validator(json.loads(case_json_schema())).validate(written)
    assert parse_case(written).options[5].kind == "provisioned"


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    validator = Draft202012Validator(json.loads(case_json_schema()))
    for bad in (case(api(), unknown=1), case(api(), draws=1.5), case(api(), discount_rate_per_year=-1)):
        assert not validator.is_valid(bad)


def test_keys_added_later_leave_the_bytes_of_a_case_without_them_as_they_were() -> None:
    """Hashes of cases stand in signed recommendations."""
    written = case_bytes(parse_case(case(api(), fleet()))).decode()
    for key in ("spot", "windows", "cache_write_usd_per_mtok", "cache_write_input_share"):
        assert key not in written
    assert case_sha256(parse_case(case(api(), fleet()))).startswith("653eb638597e")
