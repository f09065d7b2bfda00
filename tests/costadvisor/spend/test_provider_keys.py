"""A provider's key is sealed: it is in no page, no log, no error page and nowhere in the database."""

import logging
import subprocess
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import membership_set
from costadvisor.audit.models import Event
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import BillPull, Provider, ProviderKey
from costadvisor.spend.provider_keys import ProviderSecret, seal, unseal
from costadvisor.spend.services import keys
from costadvisor.spend.services.pulls import pull_run
from tests.costadvisor.spend.provider_server import KEY, ProviderServer, breaks_off, provider_server, says, status
from tests.costadvisor.spend.test_privacy import kept_files, stored_bytes
from tests.costadvisor.spend.test_pulls import NOW

LogIn = Callable[[User], Client]
PARTS = ("VERYSECRET", KEY[-8:])  # four characters more than may be shown


@pytest.fixture
def server(settings: Any) -> Iterator[ProviderServer]:
    with provider_server() as running:
        settings.BILL_PULL_URLS = dict.fromkeys(Provider.values, running.url)
        settings.BILL_PULL_TRIES = 1
        yield running


def set_key(client: Client, **changes: str) -> Any:
    said = {"provider": "openai", "secret": KEY, "since": "2026-10-01"} | changes
    return client.post("/o/acme/spend/fetched/key/", said, follow=True)


def shows_it(text: bytes | str) -> bool:
    return any(part in (text if isinstance(text, str) else text.decode("latin-1")) for part in PARTS)


def test_it_is_nowhere_whatever_happens(
    server: ProviderServer, acme: Organization, alice: User, log_in: LogIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = log_in(alice)
    page = set_key(client).content.decode()
    assert "Key ending in <strong>wXyZ</strong>" in page
    shown = [page, client.get("/o/acme/spend/fetched/key/").content.decode()]
    mishaps: list[Any] = [status(401), status(429, Retry_After="100"), status(500), says(b"{"), breaks_off, None]
    for mishap in mishaps:
        server.mishaps = [mishap]
        BillPull.objects.update(state="idle", next_at=None)
        pull_run(pull=BillPull.objects.get(report="openai_costs"), now=NOW)
        shown.append(client.get("/o/acme/spend/fetched/").content.decode())
        assert not any(map(shows_it, (*stored_bytes(), *kept_files())))
    assert "<strong>Stored</strong>" in shown[-1]
    shown += [client.get("/o/acme/spend/").content.decode(), caplog.text, *map(repr, caplog.records)]
    assert not any(map(shows_it, shown))
    assert any(record.name.startswith("django.db") for record in caplog.records) or "openai_costs" in caplog.text
    assert Event.objects.get(action="provider_key_set").details["last_four"] == "wXyZ"


@pytest.mark.parametrize("debug", [False, True])
def test_it_is_not_in_an_error_page(
    acme: Organization, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Any,
    debug: bool,
) -> None:  # fmt: skip
    def broken(**_: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(keys, "event_record", broken)
    settings.DEBUG = debug
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    answer = set_key(client)
    assert answer.status_code == 500
    assert ("no disk" in answer.content.decode()) == debug
    assert not shows_it(answer.content)
    assert not shows_it(caplog.text)
    assert not ProviderKey.objects.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret": ""}, "This field is required"),
        ({"secret": "short"}, "A key has 20 to 400 characters"),
        ({"secret": "VERYSECRET" + "x y" * 20}, "letters, digits and signs only"),
        ({"secret": "VERYSECRET" + "ü" * 20}, "letters, digits and signs only"),
        ({"secret": "VERYSECRET" + "x" * 20 + "\r\nX-Evil: 1"}, "letters, digits and signs only"),
        ({"provider": "azure", "secret": KEY}, "Select a valid choice"),
        ({"since": "2099-01-01"}, "Begin on a day of the last three years"),
        ({"since": "2001-01-01"}, "Begin on a day of the last three years"),
        ({"since": "soon"}, "Enter a valid date"),
    ],
)
def test_a_bad_one_is_refused_and_not_shown_again(
    acme: Organization, alice: User, log_in: LogIn, changes: dict[str, str], message: str
) -> None:
    answer = set_key(log_in(alice), **changes)
    assert message in answer.content.decode()
    assert not shows_it(answer.content)
    assert not ProviderKey.objects.exists()


def test_sealed_it_opens_by_the_same_secret_only(settings: Any) -> None:
    sealed = seal(ProviderSecret(KEY))
    assert not shows_it(sealed)
    assert sealed != seal(ProviderSecret(KEY))
    assert unseal(sealed).reveal() == KEY
    assert not shows_it(f"{unseal(sealed)} {unseal(sealed)!r}")
    settings.SECRET_KEY = "quite another"
    with pytest.raises(Refusal, match="Set the key again"):
        unseal(sealed)


def test_an_editor_fetches_and_only_an_administrator_sets_keys(
    acme: Organization, alice: User, bob: User, charlie: User, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    set_key(log_in(alice))
    key = ProviderKey.objects.get()
    membership_set(organization=acme, user=bob, role=Role.EDITOR, actor=alice)
    page = log_in(bob).get("/o/acme/spend/fetched/").content.decode()
    assert "Fetch now" in page
    assert "Delete the key" not in page
    log_in(bob).post(f"/o/acme/spend/fetched/{key.pk}/now/")
    assert [command[-3:] for command in commands] == [["pull_bills", "--key", str(key.pk)]]
    assert set_key(log_in(bob)).status_code == 403
    assert log_in(bob).post(f"/o/acme/spend/fetched/{key.pk}/forget/").status_code == 403
    assert log_in(charlie).post(f"/o/rival/spend/fetched/{key.pk}/forget/").status_code == 404
    assert log_in(alice).post(f"/o/acme/spend/fetched/{key.pk}/forget/").status_code == 302
    assert not ProviderKey.objects.exists()
    assert not BillPull.objects.exists()


def test_an_operator_sets_one_from_a_file(acme: Organization, tmp_path: Path) -> None:
    path, out = tmp_path / "key", StringIO()
    path.write_text(f"{KEY}\n")
    call_command("setproviderkey", "acme", "openai", "--key-file", str(path), "--since", "2026-10-01", stdout=out)
    key = ProviderKey.objects.get()
    assert unseal(key.sealed).reveal() == KEY
    assert out.getvalue().startswith("Set: OpenAI ••••wXyZ, from 2026-10-01 on.")
    assert not shows_it(out.getvalue())
    for wrong in (["rival", "openai", "--key-file", str(path)], ["acme", "openai", "--key-file", str(tmp_path)]):
        with pytest.raises(CommandError):
            call_command("setproviderkey", *wrong)
