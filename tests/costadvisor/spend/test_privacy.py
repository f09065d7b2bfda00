"""Prompts, answers, e-mail addresses and ids of end users never reach storage: the database is searched for them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from costadvisor.accounts.models import Organization, User
from costadvisor.spend.formats.registry import FORMATS
from costadvisor.spend.models import PendingUpload, RequestChunk, UploadState
from costadvisor.spend.previews import upload_preview
from costadvisor.spend.services import import_commit, upload_create
from tests.costadvisor.spend.test_formats import BILLS, FILES

SECRETS = re.compile(rb"\.secret@|the secret|end-user-|user-AbC", re.I)


def stored_bytes() -> Iterator[bytes]:
    """Every value of every table, chunks of requests unpacked."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            for row in cursor.fetchall():
                yield repr(row).encode()


def kept_files() -> Iterator[bytes]:
    for path in Path(settings.BILL_UPLOADS_DIR).rglob("*"):
        if path.is_file():
            yield path.read_bytes()


def test_the_files_are_full_of_what_must_not_be_kept() -> None:
    found = {name for name in FILES if SECRETS.search((BILLS / name).read_bytes())}
    assert {"openai_cost_csv.csv", "langfuse.jsonl", "litellm_log.csv", "helicone.csv", "openrouter_log.csv"} <= found


@pytest.mark.parametrize("file_name", FILES)
def test_nothing_of_it_is_kept(file_name: str, acme: Organization, alice: User) -> None:
    content = (BILLS / file_name).read_bytes()
    upload = upload_create(organization=acme, actor=alice, file_name=file_name, content=content)
    upload_preview(upload=upload)
    for kept in (*stored_bytes(), *kept_files()):
        assert not SECRETS.search(kept)
    import_commit(upload=upload, actor=alice)
    for kept in stored_bytes():
        assert not SECRETS.search(kept)
    assert PendingUpload.objects.get().state == UploadState.STORED
    assert RequestChunk.objects.exists() == (FORMATS[upload.format_name].NAME in LOGS)


LOGS = {"openrouter_log", "litellm_log", "langfuse", "helicone"}


def test_an_address_in_a_bad_cell_is_not_repeated(acme: Organization, alice: User) -> None:
    content = b"month,provider,requests,cost,currency\n2026-10,ann.secret@example.com,bob.secret@example.com,1,USD\n"
    upload = upload_create(organization=acme, actor=alice, file_name="b", content=content)
    assert upload.summary["problem_count"] == 1
    assert not any(SECRETS.search(kept) for kept in stored_bytes())
