"""Workloads over the API: written, read, derived, merged; and every refusal in one shape that names the field."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from costadvisor.accounts.models import Organization, Scope, User
from costadvisor.accounts.services import token_create
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.workloads.models import Workload

ROOT = "/api/v1/workloads"
NAMES = {Scope.WORKLOADS: "ci", Scope.EVALUATE: "notebook"}
FIGURES = {"requests_per_month": 1000, "input_tokens": 1155, "output_tokens": 211}
BILL = (
    b"month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens\n2026-09,openai,gpt,100,5000,500,700"
)
TRACE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,300,40\n2023-11-16 18:15:50.99,500,60\n"


def client_of(organization: Organization, scope: Scope = Scope.WORKLOADS) -> Client:
    _, secret = token_create(organization=organization, name=NAMES[scope], scopes=[scope], days=1, now=timezone.now())
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def client(acme: Organization) -> Client:
    return client_of(acme)


def send(client: Client, path: str, data: Any, method: str = "post") -> Any:
    return getattr(client, method)(f"{ROOT}{path}", data, content_type="application/json")


def refused(answer: Any) -> tuple[str | None, str]:
    assert answer.status_code == 400, answer.content
    error = answer.json()["errors"][0]
    return error["attr"], error["detail"]


def test_a_workload_is_written_read_changed_and_removed(client: Client) -> None:
    made = send(client, "", {"name": "Chat", "figures": FIGURES | {"hourly_shape": {"peak_to_mean": 2.2}}})
    assert made.status_code == 201
    where = f"/{made.json()['id']}"
    figure = made.json()["figures"]["input_tokens"]
    assert (figure["value"], figure["basis"], figure["source"]) == (1155, "stated", "sent by API token ci")
    assert made.json()["case"]["workload"]["hourly_shape"] == {"peak_to_mean": 2.2}
    assert made.json()["calibration"] == {
        "burstiness": 1.0, "input_tokens": {"mean": 1155.0}, "output_tokens": {"mean": 211.0},
    }  # fmt: skip
    changed = send(client, where, {"figures": {"prefix_hit_share": 0.4}}, "patch").json()
    assert changed["calibration"]["prefix_hit_share"] == 0.4
    assert changed["figures"]["ttft_p95_ms"]["basis"] == "assumed"
    assert client.get(ROOT).json()["results"] == [{"id": made.json()["id"], "name": "Chat"}]
    assert client.delete(f"{ROOT}{where}").status_code == 204
    assert client.get(f"{ROOT}{where}").status_code == 404


def test_parts_of_the_bill_and_a_trace_become_workloads_and_merge(
    client: Client, acme: Organization, alice: User
) -> None:
    import_commit(upload=upload_create(organization=acme, actor=alice, file_name="b", content=BILL), actor=alice)
    parts = client.get(f"{ROOT}/parts").json()["results"]
    assert parts == [{"provider": "openai", "model": "gpt", "by": "model", "scope": ""}]
    derived = send(client, "/derive", {"name": "Bill", "parts": parts})
    assert derived.status_code == 201, derived.content
    (billed,) = derived.json()["results"]
    assert billed["figures"]["input_tokens"]["value"] == 50
    form = {"name": "Trace", "requests_per_month": "300", "trace": SimpleUploadedFile("t.csv", TRACE)}
    traced = client.post(f"{ROOT}/trace", form)
    assert traced.status_code == 201, traced.content
    assert len(traced.json()["lengths"]["mix"]) == 2
    ids = [billed["id"], traced.json()["id"]]
    merged = send(client, "/merge", {"name": "Both", "workloads": ids, "remove": True}).json()
    assert merged["figures"]["requests_per_month"]["value"] == 400
    assert merged["figures"]["input_tokens"]["value"] == (100 * 50 + 300 * 400) / 400
    assert [workload.name for workload in Workload.objects.all()] == ["Both"]


@pytest.mark.parametrize(
    ("path", "data", "field", "complaint"),
    [
        ("", [], None, "JSON object"),
        ("", {"name": "A"}, "figures", "an object"),
        ("", {"name": 3, "figures": FIGURES}, "name", "a text"),
        ("", {"name": " ", "figures": FIGURES}, "name", "needs a name"),
        ("", {"name": "A", "figures": FIGURES, "x": 1}, "x", "not known"),
        ("", {"name": "A", "figures": {"input_tokens": 1}}, "figures.requests_per_month", "required"),
        ("", {"name": "A", "figures": FIGURES | {"volume": 1}}, "figures.volume", "not permitted"),
        ("", {"name": "A", "figures": FIGURES | {"input_tokens": True}}, "figures.input_tokens", "true or false"),
        ("", {"name": "A", "figures": FIGURES | {"input_tokens": -1}}, "figures.input_tokens", "greater than 0"),
        ("", {"name": "A", "figures": FIGURES | {"burstiness": 0}}, "figures.burstiness", "greater than 0"),
        ("", {"name": "A", "figures": FIGURES | {"hourly_shape": [1, 2]}}, "figures.hourly_shape", ""),
        ("", {"name": "A", "figures": FIGURES | {"privacy": ["secret"]}}, "figures.privacy", "no_training"),
        ("/derive", {"name": "A", "parts": []}, "parts", "at least one part"),
        ("/derive", {"name": "A", "parts": [{"provider": "p"}]}, "parts[0].model", "a text"),
        ("/derive", {"name": "A", "parts": [{"provider": "p", "model": "m"}]}, "parts", "no whole month of p m"),
        ("/derive", {"name": "A", "parts": [{"provider": "p", "model": "m", "by": "day"}]}, "parts[0].by", "no split"),
        ("/merge", {"name": "A", "workloads": [999]}, "workloads", "id of a workload"),
        ("/merge", {"name": "A", "workloads": []}, "workloads", "Choose 2 to"),
    ],
)
def test_a_refusal_names_the_field_and_stores_nothing(
    client: Client, path: str, data: Any, field: str | None, complaint: str
) -> None:
    attr, detail = refused(send(client, path, data))
    assert complaint in detail
    assert field is None or attr == field
    assert not Workload.objects.exists()


def test_a_bad_trace_or_volume_names_its_field(client: Client) -> None:
    bad_volume = {"name": "A", "requests_per_month": "nan", "trace": SimpleUploadedFile("t.csv", TRACE)}
    for form, field in (
        ({"name": "A", "requests_per_month": "5"}, "trace"),
        ({"name": "A", "trace": SimpleUploadedFile("t.csv", TRACE)}, "requests_per_month"),
        (bad_volume, "figures.requests_per_month"),
        ({"name": "A", "requests_per_month": "5", "trace": SimpleUploadedFile("t.csv", TRACE + b"x")}, "trace"),
    ):
        assert refused(client.post(f"{ROOT}/trace", form))[0] == field


def test_another_organizations_token_and_another_scope_reach_nothing(
    client: Client, acme: Organization, charlie: User
) -> None:
    made = send(client, "", {"name": "Chat", "figures": FIGURES}).json()["id"]
    outsider = client_of(Organization.objects.get(slug="rival"))
    assert outsider.get(f"{ROOT}/{made}").status_code == 404
    assert outsider.delete(f"{ROOT}/{made}").status_code == 404
    attr, _ = refused(send(outsider, "/merge", {"name": "A", "workloads": [made, made]}))
    assert attr == "workloads"
    assert client_of(acme, Scope.EVALUATE).get(ROOT).status_code == 403
    assert client.get(f"{ROOT}/{made}").status_code == 200
