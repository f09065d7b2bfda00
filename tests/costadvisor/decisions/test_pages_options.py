"""The pages that add an option to a decision and take one out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.accounts.services import organization_create
from costadvisor.calibration.services.records import record_import
from costadvisor.decisions.assumptions import assumptions
from costadvisor.decisions.candidates import RENTED_PRIVACY, published
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_evaluate
from engine.calibrate.record import Record
from tests.costadvisor.decisions.conftest import evaluation, page_of


def test_an_option_is_added_from_the_catalog_and_taken_out(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}options/host/", {"host": "host:fireworks:qwen/qwen3-8b", "privacy": ["zero_retention"]})
    client.post(f"{home}options/api/", {"provider": "OpenAI", "model": "gpt-4.1-nano"})
    rented = {"measurement": "published:qwen3-8b-l40s-bf16-1024x256", "policy": "scheduled", "cold_start_s": "90"}
    client.post(f"{home}options/rented/", rented | {"usd_per_hour": "1.10"})
    decision.refresh_from_db()
    options = {option["id"]: option for option in decision.case["options"]}
    assert {"fireworks", "openai", "l40s"} <= options.keys()
    assert options["fireworks"]["open_weights"] is True
    assert options["l40s"]["hardware"]["usd_per_hour"] == "1.10"
    assert options["l40s"]["scaling"] == {"policy": "scheduled", "cold_start_s": 90}
    assert decision.case["evidence"]["/options/l40s/hardware/usd_per_hour"]["source"] == "entered by alice@example.com"
    page = page_of(client, home)
    assert "Qwen3-8B on L40S" in page
    client.post(f"{home}options/l40s/remove/")
    decision.refresh_from_db()
    assert "l40s" not in json.dumps(decision.case)
    assert "l40s" not in [row.id for row in evaluation(decision).options]


def test_a_published_series_brings_the_quality_of_its_own_precision(
    client: Client, decision: Decision, home: str
) -> None:
    form = {"measurement": "published:qwen3-8b-h100-fp8-128x128", "policy": "fixed", "cold_start_s": "0"}
    client.post(f"{home}options/rented/", form | {"privacy": RENTED_PRIVACY})
    decision.refresh_from_db()
    added = decision.case["options"][-1]
    proposed = next(found for found in published() if found.key == form["measurement"]).written.option
    assert {name: added[name] for name in proposed} == proposed
    assert {"measure": "ifeval", "score": 0.8355, "n": 541} in added["quality"]


def test_what_a_rented_gpu_is_said_to_keep_private_is_an_assumption_with_its_source(
    client: Client, decision: Decision, home: str
) -> None:
    proposed = next(option for option in decision.case["options"] if option["kind"] == "self_host")
    form = {"measurement": proposed["capacity"]["record"], "policy": "fixed", "cold_start_s": "0"}
    client.post(f"{home}options/rented/", form | {"privacy": RENTED_PRIVACY})
    client.post(f"{home}options/rented/", form | {"privacy": ["in_region"]})
    decision.refresh_from_db()
    answered = decision_evaluate(decision=decision)
    log = {row.pointer: row for row in assumptions(answered.evaluation, answered.case)}
    as_proposed, as_confirmed, as_typed = (
        log[f"/options/{id_}/privacy"]
        for id_ in (proposed["id"], *[option["id"] for option in decision.case["options"][-2:]])
    )
    for row in (as_proposed, as_confirmed):
        assumed = "assumed: rented in your own cloud account and region"
        assert (row.value, row.grade, row.source) == ("own_vpc, in_region", "E", assumed)
    assert (as_typed.value, as_typed.source) == ("in_region", "assumed: entered by alice@example.com")
    assert "our own cloud account, our region" in page_of(client, home)


def test_todays_api_stays(client: Client, decision: Decision, home: str) -> None:
    page = client.post(f"{home}options/today/remove/", follow=True).content.decode()
    assert "Today&#x27;s API stays" in page
    assert decision.case["options"][0]["id"] == "today"


def test_a_typed_rate_is_assumed_and_needs_its_whole_description(client: Client, decision: Decision, home: str) -> None:
    form = {"measurement": "typed", "policy": "fixed", "cold_start_s": "0", "rate_unit": "tokens_per_s"}
    page = client.post(f"{home}options/rented/", form | {"gpu": "H200"}).content.decode()
    assert page.count("A typed rate needs this too.") == 3 * 2, "in the summary and at the field"
    form |= {"gpu": "H200", "gpus_per_replica": "2", "model": "Qwen/Qwen3-32B", "rate": "2500"}
    assert client.post(f"{home}options/rented/", form).status_code == 302
    decision.refresh_from_db()
    option = decision.case["options"][-1]
    assert option["capacity"] == {"tokens_per_s": 2500}
    grades = {row.field: row.grade for row in evaluation(decision).evidence}
    assert grades[f"/options/{option['id']}/capacity"] == "E"


def test_an_own_calibration_is_an_option_of_its_organization_only(
    client: Client, alice: User, acme: Organization, decision: Decision, home: str, make_record: Callable[..., Record]
) -> None:
    lengths = {"kind": "fixed", "mean_input_tokens": 1000.0, "mean_output_tokens": 200.0, "trace": None}
    lengths |= {"mix": [{"input": 1000, "output": 200, "weight": 1.0}], "trace_sha256": None}
    record = make_record(workload=lengths | {"burstiness": 1.0, "prefix_hit_share": 0.0})
    elsewhere = organization_create(name="Second", admin=alice)
    content = record.to_json().encode()
    record_import(organization=elsewhere, actor=alice, file_name="r.json", content=content)
    form = {"measurement": f"sha256:{record.sha256}", "policy": "fixed", "cold_start_s": "10"}
    page = client.post(f"{home}options/rented/", form).content.decode()
    assert '<a href="#id_measurement">' in page
    assert "Your own calibrations" not in page
    record_import(organization=acme, actor=alice, file_name="r.json", content=content)
    assert client.post(f"{home}options/rented/", form).status_code == 302
    page = page_of(client, home)
    assert "tiny on CPU" in page
    row = evaluation(decision).options[-1]
    assert row.id == "cpu"
    grades = {row.field: (row.grade, row.source) for row in evaluation(decision).evidence}
    grade, source = grades["/options/cpu/capacity"]
    assert grade == "B"
    assert record.sha256[:12] in source


@pytest.mark.parametrize(
    ("kind", "data", "field", "message"),
    [
        ("api", {"provider": "openai", "model": "gpt-9"}, "model", "no list price of openai / gpt-9"),
        ("api", {"provider": "openai", "model": ""}, "model", "This field is required"),
        ("api", {"provider": "x", "model": "y", "input_usd_per_mtok": "1"}, "output_usd_per_mtok", "or neither"),
        ("host", {"host": "host:nobody:nothing"}, "host", "Select a valid choice"),
        (
            "rented",
            {"measurement": "typed", "model": "m", "gpu": "RTX 4090", "gpus_per_replica": "1", "rate": "1",
             "policy": "fixed", "cold_start_s": "0", "usd_per_hour": "-1"},
            "usd_per_hour", "greater than or equal to 0",
        ),
    ],
)  # fmt: skip
def test_a_refused_option_is_one_error_at_its_field(
    client: Client, decision: Decision, home: str, kind: str, data: dict[str, Any], field: str, message: str
) -> None:
    page = client.post(f"{home}options/{kind}/", data).content.decode()
    assert f'<a href="#id_{field}">' in page
    assert message in page
    decision.refresh_from_db()
    assert len(decision.case["options"]) == 4
