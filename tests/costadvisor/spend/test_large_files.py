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
from costadvisor.spend.models import PendingUpload, SpendLine, UploadState

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
