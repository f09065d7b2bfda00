"""A file too large to be read while its sender waits is read by a process of its own, which the page shows."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.spend import staging
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine, UploadState
from costadvisor.spend.services import import_commit, upload_create

LogIn = Callable[[User], Client]
BILL = b"month,provider,model,cost,currency\n2026-10,openai,m,4.5,USD\n"


@pytest.fixture
def started(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of processes that would have been started."""
    settings.BILL_READ_AT_ONCE_BYTES = 10
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    return commands


def upload(client: Client, content: bytes) -> str:
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("big.csv", content)})
    return str(answer["Location"])


def test_the_page_waits_and_then_shows_the_preview(
    started: list[list[str]], acme: Organization, alice: User, log_in: LogIn, django_capture_on_commit_callbacks: Any
) -> None:
    client = log_in(alice)
    page = upload(client, BILL)
    pending = PendingUpload.objects.get()
    assert started[0][-2:] == ["bill_read", str(pending.pk)]
    assert "Being read" in client.get(page).content.decode()
    assert "The file is not read yet" in client.post(page + "confirm/", follow=True).content.decode()
    call_command("bill_read", pending.pk)
    assert "$4.50" in client.get(page).content.decode()
    assert not staging.file_of(pending).exists()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(page + "confirm/")
    assert SpendLine.objects.count() == 1
    assert not staging.folder_of(pending).exists()


def test_an_unknown_large_file_is_kept_for_its_columns_to_be_named(
    started: list[list[str]], acme: Organization, alice: User, log_in: LogIn
) -> None:
    page = upload(log_in(alice), b"when,what,how much\n2026-10-01,m,5\n")
    pending = PendingUpload.objects.get()
    call_command("bill_read", pending.pk)
    pending.refresh_from_db()
    assert pending.state == UploadState.UNKNOWN
    assert "how much" in log_in(alice).get(page, follow=True).content.decode()


def test_a_large_file_that_is_none_says_why(
    started: list[list[str]], acme: Organization, alice: User, log_in: LogIn
) -> None:
    page = upload(log_in(alice), b"\x00\x01 no table at all")
    call_command("bill_read", PendingUpload.objects.get().pk)
    assert "neither CSV, JSON nor Parquet" in log_in(alice).get(page).content.decode()


def test_the_page_shows_how_far_storing_is_and_then_what_was_stored(
    started: list[list[str]], acme: Organization, alice: User, log_in: LogIn, settings: Any
) -> None:
    settings.BILL_STORE_AT_ONCE_ROWS = 0
    client = log_in(alice)
    page = upload(client, BILL)
    call_command(*started.pop()[2:])
    waiting = client.post(page + "confirm/", follow=True).content.decode()
    assert "Being stored" in waiting
    client.post(page + "confirm/")
    (command,) = started
    pending = PendingUpload.objects.get()
    staging.Teller(pending)(0.5)
    (staging.folder_of(pending) / "progress").write_text("0.4242")
    shown = client.get(page).content.decode()
    assert 'value="0.424"' in shown
    assert "42.4%" in shown
    call_command(*command[2:])
    assert "1 rows new" in client.get(page, follow=True).content.decode()
    assert BillImport.objects.get().created_by == alice


def test_what_cannot_be_stored_is_as_before_with_the_reason(
    started: list[list[str]], acme: Organization, alice: User, log_in: LogIn, settings: Any
) -> None:
    client = log_in(alice)
    settings.BILL_READ_AT_ONCE_BYTES = 1000
    client.post(upload(client, BILL) + "confirm/")
    settings.BILL_STORE_AT_ONCE_ROWS = 0
    page = upload(client, BILL + b"\n")
    client.post(page + "confirm/")
    call_command(*started.pop()[2:])
    assert "Everything in it is stored already; nothing was added." in client.get(page).content.decode()
    assert PendingUpload.objects.filter(state=UploadState.READY).count() == 1


def test_storing_tells_its_progress_by_requests_and_by_lines(
    acme: Organization, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(staging, "Teller", lambda _: told.append)
    header = "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,model_permaslug\n"
    log = header + "".join(f"g{row},2026-10-01 {row % 24:02}:00:00,0.1,10,5,m\n" for row in range(100))
    pending = upload_create(organization=acme, actor=alice, file_name="log.csv", content=log.encode())
    told.clear()
    import_commit(upload=pending, actor=alice)
    assert told == [0.9, 1.0]


def test_five_gib_are_refused_by_the_name_of_the_limit(acme: Organization, alice: User, log_in: LogIn) -> None:
    answer = log_in(alice).post("/o/acme/spend/upload/", CONTENT_LENGTH=str(5 * 2**30))
    assert answer.status_code == 413
    assert "A file may have at most 2048 MiB (BILL_MAX_BYTES)" in answer.content.decode()
