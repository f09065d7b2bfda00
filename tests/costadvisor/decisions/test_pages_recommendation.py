"""The pages of a version: frozen, signed by three people, printed, withdrawn, superseded, computed again."""

import csv
import json
import re
from io import BytesIO, StringIO

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.audit.models import Event
from costadvisor.decisions.models import Decision, Recommendation, SignOff, State, Step
from costadvisor.reports.models import Document
from tests.costadvisor.decisions.conftest import PASSWORD, LogIn, Member, page_of


@pytest.fixture
def editor(member: Member, log_in: LogIn) -> Client:
    return log_in(member("erin", Role.EDITOR))


@pytest.fixture
def reviewer(member: Member, log_in: LogIn) -> Client:
    return log_in(member("rita", Role.EDITOR))


@pytest.fixture
def approver(member: Member, log_in: LogIn) -> Client:
    return log_in(member("adam", Role.APPROVER))


@pytest.fixture
def version(editor: Client, decision: Decision, home: str) -> str:
    """The address of version 1, a draft."""
    address: str = editor.post(f"{home}issue/")["Location"]
    assert address == f"{home}versions/1/"
    return address


def sign(client: Client, address: str, password: str = PASSWORD) -> str:
    answer = client.post(f"{address}sign/", {"password": password}, follow=True)
    assert answer.status_code in {200, 403}
    return " ".join(answer.content.decode().split())


def state_of(number: int = 1) -> str:
    return Recommendation.objects.get(version=number).state


def test_a_version_keeps_its_answer_whatever_happens_to_the_decision(
    editor: Client, decision: Decision, home: str, version: str
) -> None:
    before, stored = page_of(editor, version), Recommendation.objects.get()
    sentence = stored.evaluation.verdict.sentence
    assert sentence.replace("'", "&#x27;") in before
    editor.post(f"{home}save/?requests_per_month=500&fte=2")
    decision.refresh_from_db()
    assert decision.case["workload"]["requests_per_month"] == 500
    after = page_of(editor, version)
    shown = [page[page.index('<table class="options">') : page.index("The rule of thumb")] for page in (before, after)]
    assert shown[0] == shown[1]
    again = Recommendation.objects.get()
    assert (again.case_json, again.evaluation_json) == (stored.case_json, stored.evaluation_json)
    assert json.loads(again.case_json)["workload"]["requests_per_month"] == 10_000_000


def test_todays_api_alone_is_no_recommendation(editor: Client, decision: Decision, home: str) -> None:
    for option in reversed(decision.case["options"][1:]):
        editor.post(f"{home}options/{option['id']}/remove/")
    decision.refresh_from_db()
    assert [option["id"] for option in decision.case["options"]] == ["today"], "taking the last one out is fine"
    page = editor.post(f"{home}issue/", follow=True).content.decode()
    assert "Add an option to compare it with, then issue a version." in page
    assert not Recommendation.objects.exists()


def test_three_different_people_sign(
    editor: Client, reviewer: Client, approver: Client, bob: User, log_in: LogIn, version: str
) -> None:
    assert log_in(bob).post(f"{version}sign/", {"password": PASSWORD}).status_code == 403
    assert "Version 1 is prepared." in sign(editor, version)
    assert "the next signature is somebody else&#x27;s" in sign(editor, version)
    assert state_of() == State.PREPARED
    assert "Version 1 is reviewed." in sign(reviewer, version)
    assert "needs the role approver or higher; yours is editor" in sign(editor, version)
    assert state_of() == State.REVIEWED
    assert "Version 1 is approved." in sign(approver, version)
    assert "nothing is left to sign" in sign(reviewer, version)
    assert [(signed.step, signed.signer_name) for signed in SignOff.objects.all()] == [
        ("prepare", "Erin"),
        ("review", "Rita"),
        ("approve", "Adam"),
    ]
    trail = Event.objects.filter(organization_id=Recommendation.objects.get().organization_id)
    actions = [event.action for event in trail]
    assert actions[:4] == ["recommendation_approve", "recommendation_review", "recommendation_prepare",
                           "recommendation_issue"]  # fmt: skip


def test_the_database_holds_the_rule_of_different_people(editor: Client, version: str) -> None:
    sign(editor, version)
    signed = SignOff.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        SignOff.objects.create(
            recommendation=signed.recommendation, step=Step.REVIEW, signer=signed.signer, signed_at=timezone.now()
        )


def test_a_signature_needs_the_password(editor: Client, version: str) -> None:
    page = sign(editor, version, password="guess")
    assert "This is not your password." in page
    assert '<a href="#id_password">' in page
    assert state_of() == State.DRAFT


def test_an_approver_who_prepared_does_not_approve(approver: Client, editor: Client, version: str) -> None:
    sign(approver, version)
    sign(editor, version)
    assert "You have signed this version already" in sign(approver, version)
    assert state_of() == State.REVIEWED


def test_the_pdf_says_the_sentence_the_figures_and_who_signed(editor: Client, version: str) -> None:
    sign(editor, version)
    answer = editor.get(f"{version}recommendation.pdf")
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'attachment; filename="support-version-1.pdf"'
    assert answer.content.startswith(b"%PDF")
    reader = PdfReader(BytesIO(answer.content))
    first, second = (" ".join(reader.pages[number].extract_text().split()) for number in (0, 1))
    evaluation = Recommendation.objects.get().evaluation
    assert "".join(evaluation.verdict.sentence.split()) in "".join(first.split()), "a line may break inside a name"
    assert "Version 1, prepared" in first
    assert "Prepared by Erin" in first
    assert "erin@example.com" in first
    for row in evaluation.options:
        assert row.usd_per_month is not None
        assert f"{row.usd_per_month.p50:,.0f}" in second


def test_one_state_has_one_document(editor: Client, version: str) -> None:
    draft = editor.get(f"{version}recommendation.pdf").content
    assert editor.get(f"{version}recommendation.pdf").content == draft
    Document.objects.all().delete()
    assert editor.get(f"{version}recommendation.pdf").content == draft, "printed anew, byte by byte"
    sign(editor, version)
    assert editor.get(f"{version}recommendation.pdf").content != draft
    assert Document.objects.count() == 2


def test_json_and_csv_carry_the_exact_figures(editor: Client, version: str) -> None:
    stored = Recommendation.objects.get()
    content = editor.get(f"{version}recommendation.json").json()
    assert content["case"] == json.loads(stored.case_json)
    assert content["evaluation"] == json.loads(stored.evaluation_json)
    assert content["state"] == "draft"
    options = list(csv.DictReader(StringIO(editor.get(f"{version}options.csv").content.decode())))
    for row, written in zip(options, content["evaluation"]["options"], strict=True):
        assert row["id"] == written["id"]
        assert row["usd_per_month_p50"] == written["usd_per_month"]["p50"]
        assert row["tco_usd_p90"] == written["tco_usd"]["p90"]
    log = list(csv.DictReader(StringIO(editor.get(f"{version}assumptions.csv").content.decode())))
    assert {"/workload/requests_per_month", "/as_of"} <= {row["pointer"] for row in log}


def test_verify_says_same_and_after_tampering_different(
    editor: Client, charlie: User, log_in: LogIn, version: str
) -> None:
    stored = Recommendation.objects.get()
    address = f"/verify/{stored.case_sha256}"
    assert f'href="{address}"' in page_of(editor, version)
    page = page_of(editor, address)
    assert "Same: the stored answer is what this case gives." in page
    assert log_in(charlie).get(address).status_code == 404
    assert editor.get("/verify/0000").status_code == 404
    raised = re.sub(r'"confidence":[0-9.]+', '"confidence":0.5', stored.evaluation_json)
    assert raised != stored.evaluation_json
    Recommendation.objects.update(evaluation_json=raised)
    page = page_of(editor, address)
    assert "Different in verdict" in page
    assert "Same:" not in page


def test_verify_sees_an_altered_case(editor: Client, version: str) -> None:
    stored = Recommendation.objects.get()
    altered = stored.case_json.replace('"horizon_months":36', '"horizon_months":35')
    Recommendation.objects.update(case_json=altered)
    page = page_of(editor, f"/verify/{stored.case_sha256}")
    assert re.search(r"Different in .*case", page)


def test_the_same_answer_is_not_issued_twice(editor: Client, home: str, version: str) -> None:
    page = editor.post(f"{home}issue/", follow=True).content.decode()
    assert "Version 1 says exactly this already." in page
    assert Recommendation.objects.count() == 1


def test_a_new_version_supersedes_an_unfinished_one(editor: Client, home: str, version: str) -> None:
    sign(editor, version)
    editor.post(f"{home}save/?fte=1")
    newer = editor.post(f"{home}issue/")["Location"]
    assert newer == f"{home}versions/2/"
    assert (state_of(1), state_of(2)) == (State.SUPERSEDED, State.DRAFT)
    page = page_of(editor, version)
    assert f'by <a href="{newer}">version 2</a>' in page
    assert "Your password" not in page
    assert "Withdraw this version" not in page


def test_an_approved_version_stands_until_another_is_approved(
    editor: Client, reviewer: Client, approver: Client, home: str, version: str
) -> None:
    for client in (editor, reviewer, approver):
        sign(client, version)
    editor.post(f"{home}save/?fte=1")
    newer = editor.post(f"{home}issue/")["Location"]
    assert (state_of(1), state_of(2)) == (State.APPROVED, State.DRAFT)
    for client in (editor, reviewer, approver):
        sign(client, newer)
    assert (state_of(1), state_of(2)) == (State.SUPERSEDED, State.APPROVED)
    printed = PdfReader(BytesIO(editor.get(f"{version}recommendation.pdf").content)).pages[0].extract_text()
    assert "Superseded on" in printed


def test_an_approved_version_is_withdrawn_by_an_approver_with_a_reason(
    editor: Client, reviewer: Client, approver: Client, version: str
) -> None:
    for client in (editor, reviewer, approver):
        sign(client, version)
    refused = editor.post(f"{version}withdraw/", {"because": "prices"}).content.decode()
    assert "can only be withdrawn by an approver" in refused
    assert "This field is required" in approver.post(f"{version}withdraw/", {"because": ""}).content.decode()
    assert state_of() == State.APPROVED
    approver.post(f"{version}withdraw/", {"because": "The contract changed"})
    page = page_of(editor, version)
    assert "by Adam: The contract changed" in page
    assert state_of() == State.WITHDRAWN


def test_a_case_without_an_answer_is_not_issued(editor: Client, decision: Decision, home: str) -> None:
    decision.case["options"][-1]["capacity"] = {"record": "/etc/passwd"}
    decision.save()
    page = editor.post(f"{home}issue/", follow=True).content.decode()
    assert "files are read on the command line only" in page
    assert not Recommendation.objects.exists()


def test_the_home_page_tells_what_waits_and_who_may_sign(
    acme: Organization, editor: Client, reviewer: Client, approver: Client, bob: User, log_in: LogIn, version: str
) -> None:
    sign(editor, version)
    page = page_of(reviewer, "/o/acme/")
    stored = Recommendation.objects.get()
    assert stored.evaluation.verdict.sentence.replace("'", "&#x27;") in page
    assert "Waits to be reviewed: <a" in page
    assert "Our own break-even: " in page
    assert any(row.message in page for row in stored.evaluation.break_even if row.versus == "today")
    assert "Waits to be reviewed." in page_of(editor, "/o/acme/"), "not by who prepared it"
    assert "Waits to be reviewed." in page_of(log_in(bob), "/o/acme/")
    assert 'class="done"' in page[page.index("4. Decide") - 60 : page.index("4. Decide")]


def test_nobody_reaches_a_version_through_another_organization(charlie: User, log_in: LogIn, version: str) -> None:
    client = log_in(charlie)
    for address in (version, version.replace("acme", "rival")):
        assert client.get(address).status_code == 404
        assert client.get(f"{address}recommendation.pdf").status_code == 404
        assert client.post(f"{address}sign/", {"password": PASSWORD}).status_code == 404
