"""The published self-test: a page that anybody may read, and a command that needs no database."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from django.test import Client

from costadvisor.economics.selftest import WORKED_EXAMPLES, Outcome, self_test
from costadvisor.home import views


def test_the_page_is_public_and_linked_from_every_page(client: Client) -> None:
    page = client.get("/selftest/")
    told = page.content.decode()
    assert page.status_code == 200
    assert "10 of 10 worked examples come out right." in told
    for example in WORKED_EXAMPLES:
        assert f'id="{example.id}"' in told
    links = re.findall(r'href="#([^"]+)"', told)
    assert links
    for target in links:
        assert f'id="{target}"' in told
    assert 'href="/selftest/"' in client.get("/login/").content.decode()


def test_the_page_says_what_came_out_different(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = self_test()
    wrong = replace(first, outcomes=(Outcome("the API, a month", "$110.00", True, "$111.00", False),))
    monkeypatch.setattr(views, "self_test", lambda: (wrong, *others))
    told = client.get("/selftest/").content.decode()
    assert "9 of 10 worked examples come out right." in told
    assert "<strong>Different</strong>" in told


def test_the_command_needs_no_database() -> None:
    nowhere = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "manage.py", "selftest"], capture_output=True, text=True, env=nowhere, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("10/10 worked examples come out right.\n")
    assert "refused   break-even: printed 8,111M tokens a month, here never" in done.stdout
