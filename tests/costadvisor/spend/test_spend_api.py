"""Spend over the API: parts that go on where they broke off, preview, import, undo; and the program in the docs."""

import hashlib
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from costadvisor.accounts.models import Organization, Scope, User
from costadvisor.accounts.services import token_create
from costadvisor.audit.models import Event
from costadvisor.spend import staging
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine
from tests.costadvisor.spend.test_formats import BILLS

BILL = b"month,provider,model,cost,currency\n2026-09,openai,m,4.123456789012345,USD\n2026-10,openai,m,5,USD\n"
DOCS = Path(__file__).parents[3] / "docs" / "spend-api.md"
BYTES = "application/octet-stream"


class Caller:
    """A program with a token."""

    def __init__(self, organization: Organization, *scopes: Scope) -> None:
        _, secret = token_create(
            organization=organization, name="ci", scopes=scopes or [Scope.SPEND], days=1, now=timezone.now()
        )
        self.client, self.secret = Client(headers={"Authorization": f"Bearer {secret}"}), secret

    def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else ""
        answer = self.client.generic(method, f"/api/v1/{path}", data, content_type=kind)
        return answer.status_code, json.loads(answer.content) if answer.content else None

    def announce(self, content: bytes = BILL, **changes: Any) -> tuple[int, Any]:
        said = {"file_name": "b.csv", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return self("POST", "uploads", said | changes)

    def part(self, upload_id: int, offset: int | str, content: bytes) -> tuple[int, Any]:
        return self("PUT", f"uploads/{upload_id}/content?offset={offset}", content, kind=BYTES)

    def send(self, content: bytes = BILL) -> Any:
        upload = self.announce(content)[1]
        return self.part(upload["id"], 0, content)[1]


@pytest.fixture(autouse=True)
def many_calls(settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 1000


@pytest.fixture
def call(acme: Organization) -> Caller:
    return Caller(acme)


def test_a_file_goes_on_where_it_broke_off_and_is_stored_exactly(call: Caller) -> None:
    status, upload = call.announce()
    assert (status, upload["state"], upload["received_bytes"]) == (201, "receiving", 0)
    assert call.part(upload["id"], 0, BILL[:30])[1]["received_bytes"] == 30
    again = call.announce()[1]
    assert (again["id"], again["received_bytes"]) == (upload["id"], 30)
    status, refused = call.part(upload["id"], 10, BILL[10:])
    assert (status, refused["errors"][0]["detail"]) == (409, "There are 30 bytes of it; go on from there.")
    status, upload = call.part(upload["id"], 30, BILL[30:])
    assert (status, upload["state"], upload["format"]) == (200, "ready", "template_csv")
    assert not SpendLine.objects.exists()
    preview = call("GET", f"uploads/{upload['id']}/preview")[1]
    assert (preview["totals"]["cost"], preview["new"]) == ({"USD": "9.123456789012345"}, 2)
    assert preview["first_rows"][0]["cost"] == "4.123456789012345"
    status, stored = call("POST", f"uploads/{upload['id']}/import", {})
    assert (status, stored["rows_new"], stored["by"]) == (201, 2, "API token ci")
    assert call("POST", f"uploads/{upload['id']}/import", {}) == (201, stored)
    assert call.announce()[1]["import_id"] == stored["id"]
    months = call("GET", "spend/months")[1]["results"]
    assert [(month["month"], month["cost"]) for month in months] == [
        ("2026-09", "4.123456789012345"),
        ("2026-10", "5.000000000"),
    ]
    assert call("GET", f"imports?sha256={upload['sha256']}")[1]["results"] == [stored]
    assert call("DELETE", f"imports/{stored['id']}") == (204, None)
    assert not SpendLine.objects.exists()
    said = Event.objects.filter(object_kind="bill_import").values_list("action", "details__origin")
    assert set(said) == {("bill_import_create", "API token ci"), ("bill_import_remove", "API token ci")}
    assert call.announce()[1]["state"] == "receiving"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"file_name": ""}, "file_name"),
        ({"file_name": 7}, "file_name"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": "7"}, "size_bytes"),
        ({"size_bytes": True}, "size_bytes"),
        ({"size_bytes": 5 * 2**30}, "file"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"sha256": None}, "sha256"),
    ],
)
def test_a_bad_announcement_is_refused_by_field(call: Caller, changes: dict[str, Any], field: str) -> None:
    status, refused = call.announce(**changes)
    assert (status, refused["errors"][0]["attr"]) == (400, field)
    assert not PendingUpload.objects.exists()


def test_bodies_that_are_none_are_refused(call: Caller) -> None:
    assert call("POST", "uploads", [1])[0] == 400
    assert call("POST", "uploads", b"{")[0] == 400
    upload = call.announce()[1]
    assert call.part(upload["id"], "x", BILL)[0] == 400
    assert call.part(upload["id"], 0, b"")[0] == 400
    assert call("PUT", f"uploads/{upload['id']}/content?offset=0", BILL, kind="text/plain")[0] == 415
    status, refused = call.part(upload["id"], 0, BILL + b"more")
    assert (status, refused["errors"][0]["detail"]) == (400, "There are more bytes than the file was said to have.")
    assert call("GET", f"uploads/{upload['id']}")[1]["received_bytes"] == 0
    assert call("POST", f"uploads/{upload['id']}/import", {})[0] == 409
    assert call("GET", f"uploads/{upload['id']}/preview")[0] == 409
    assert call("GET", f"uploads/{upload['id']}/columns")[0] == 409


def test_parts_and_looks_are_not_counted_as_calls(call: Caller, settings: Any) -> None:
    upload = call.announce()[1]
    settings.API_CALLS_PER_MINUTE = 3
    for at in range(20):
        assert call.part(upload["id"], at, BILL[at : at + 1])[0] == 200
        assert call("GET", f"uploads/{upload['id']}")[0] == 200
    assert [call("GET", "imports")[0] for _ in range(3)] == [200, 200, 429]


def test_a_part_has_a_largest_size(call: Caller, settings: Any) -> None:
    upload = call.announce()[1]
    settings.BILL_MAX_BYTES = settings.MAX_REQUEST_BYTES = 20
    status, refused = call.part(upload["id"], 0, BILL)
    assert (status, refused["errors"][0]["code"]) == (413, "too_large")


def test_a_file_that_came_out_another_fails_and_is_sent_anew(call: Caller) -> None:
    upload = call.announce()[1]
    failed = call.part(upload["id"], 0, BILL[::-1])[1]
    assert (failed["state"], failed["failure"]) == (
        "failed",
        "What came has another SHA-256 than was said. Send the file again.",
    )
    assert call.part(upload["id"], 0, BILL)[0] == 409
    again = call.announce()[1]
    assert again["id"] != upload["id"]
    assert call.part(again["id"], 0, BILL)[1]["state"] == "ready"


def test_what_is_no_table_says_why(call: Caller) -> None:
    upload = call.send(b"\x00\x01\x02")
    assert upload["state"] == "failed"
    assert "neither CSV, JSON nor Parquet" in upload["failure"]


def test_bad_lines_are_left_out_on_ones_word_only(call: Caller) -> None:
    upload = call.send(BILL + b"2026-11,openai,m,x,USD\n")
    preview = call("GET", f"uploads/{upload['id']}/preview")[1]
    assert preview["problems"] == [{"where": "line 4", "field": "cost", "reason": preview["problems"][0]["reason"]}]
    status, refused = call("POST", f"uploads/{upload['id']}/import", {})
    assert (status, SpendLine.objects.exists()) == (400, False)
    assert "1 lines cannot be read" in refused["errors"][0]["detail"]
    stored = call("POST", f"uploads/{upload['id']}/import", {"leave_out_bad_lines": True})[1]
    assert stored["lines_left_out"] == 1


def test_an_import_that_another_revised_stays_until_that_is_gone(call: Caller) -> None:
    first = call("POST", f"uploads/{call.send()['id']}/import", {})[1]
    second = call("POST", f"uploads/{call.send(BILL.replace(b',5,', b',6,'))['id']}/import", {})[1]
    status, refused = call("DELETE", f"imports/{first['id']}")
    assert (status, "Remove that one first" in refused["errors"][0]["detail"]) == (409, True)
    assert call("DELETE", f"imports/{second['id']}")[0] == call("DELETE", f"imports/{first['id']}")[0] == 204


def test_columns_are_named_in_the_words_of_the_guess(call: Caller) -> None:
    content = b"Tag;Modell;Eingabe;Ausgabe;Betrag\n31.10.2026;m;1000;200;12.5\n"
    upload = call.send(content)
    assert upload["state"] == "unknown"
    asked = call("GET", f"uploads/{upload['id']}/columns")[1]
    assert asked["columns"] == ["tag", "modell", "eingabe", "ausgabe", "betrag"]
    status, refused = call("PUT", f"uploads/{upload['id']}/columns", {"time": "no such"})
    assert (status, {error["attr"] for error in refused["errors"]} >= {"time", "provider_name"}) == (400, True)
    said = json.loads(re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.S)[0])
    assert set(said) <= set(asked["guess"])
    status, upload = call("PUT", f"uploads/{upload['id']}/columns", said)
    assert (status, upload["state"]) == (200, "ready")
    assert call("GET", f"uploads/{upload['id']}/preview")[1]["totals"]["cost"] == {"EUR": "12.5"}


def test_an_upload_is_discarded(call: Caller) -> None:
    upload = call.send()
    assert call("DELETE", f"uploads/{upload['id']}") == (204, None)
    assert call("GET", f"uploads/{upload['id']}")[0] == 404
    stored = call("POST", f"uploads/{call.send()['id']}/import", {})[1]
    assert stored["id"] == BillImport.objects.get().pk
    assert call("DELETE", f"uploads/{PendingUpload.objects.get().pk}")[0] == 409


def test_a_token_reaches_its_own_organization_by_its_scope_only(call: Caller, charlie: User) -> None:
    upload = call.send()
    stored = call("POST", f"uploads/{upload['id']}/import", {})[1]
    rival = Caller(Organization.objects.get(slug="rival"))
    assert rival("GET", f"uploads/{upload['id']}")[0] == 404
    assert rival("DELETE", f"imports/{stored['id']}")[0] == 404
    assert rival("GET", "imports")[1]["results"] == []
    assert rival("GET", "spend/months")[1]["results"] == []
    assert rival.announce()[1]["id"] != upload["id"]
    PendingUpload.objects.all().delete()
    Organization.objects.get(slug="acme").api_tokens.update(scopes=["evaluate"])
    for method, path in (("GET", "imports"), ("POST", "uploads"), ("GET", "spend/months")):
        assert call(method, path)[0] == 403


def test_a_large_file_is_read_and_stored_beside_the_call(
    call: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command[2:]))
    settings.BILL_READ_AT_ONCE_BYTES, settings.BILL_STORE_AT_ONCE_ROWS = 10, 1
    upload = call.send()
    assert (upload["state"], upload["progress"]) == ("reading", 0.0)
    call_command(*commands.pop())
    assert call("GET", f"uploads/{upload['id']}")[1]["state"] == "ready"
    for _ in range(2):  # asked twice, begun once
        status, answer = call("POST", f"uploads/{upload['id']}/import", {})
        assert (status, answer["state"], answer["progress"]) == (202, "storing", 0.0)
    staging.Teller(PendingUpload.objects.get())(0.25)
    with django_capture_on_commit_callbacks(execute=True):
        call_command(*commands.pop())
    assert not commands
    answer = call("GET", f"uploads/{upload['id']}")[1]
    assert (answer["state"], answer["import_id"]) == ("stored", BillImport.objects.get().pk)
    assert SpendLine.objects.count() == 2


def test_a_large_file_that_came_out_another_fails_beside(
    call: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command[2:]))
    settings.BILL_READ_AT_ONCE_BYTES = 10
    upload = call.announce()[1]
    call.part(upload["id"], 0, BILL[::-1])
    call_command(*commands.pop())
    assert call("GET", f"uploads/{upload['id']}")[1]["failure"].startswith("What came has another SHA-256")


@pytest.mark.django_db(transaction=True)
def test_the_programs_in_the_docs_run(acme: Organization, live_server: Any, tmp_path: Path, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    sends, takes_back = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    sends = sends.replace("PART = 16 * 2**20", "PART = 100")
    environment = os.environ | {"URL": live_server.url, "TOKEN": Caller(acme).secret}

    def run(program: str, file: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment | {"FILE": str(file)}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert not done.stderr.replace("Everything in it is stored already.\n", ""), done.stderr
        return done.stdout + done.stderr

    told = run(sends, BILLS / "template_csv.csv")
    assert "cannot be read: 0" in told
    assert "2026-" in told
    assert sum(Decimal(month) for month in re.findall(r"^2026-\d\d \S+ \S+ (\S+) USD$", told, re.M)) > 0
    assert "cannot be read" not in run(sends, BILLS / "template_csv.csv")  # stored already, by this very upload
    assert run(takes_back, BILLS) == "Taken back: template_csv.csv\n"
    assert not SpendLine.objects.exists()
