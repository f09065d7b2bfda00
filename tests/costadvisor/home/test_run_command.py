"""`manage.py run` where it cannot start: one line, before anything is started or stored."""

import socket
from typing import Any

import pytest
from django.core.management import call_command

from costadvisor.accounts.models import User


def refused(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    with pytest.raises(SystemExit) as ended:
        call_command("run", **options)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert not User.objects.exists()
    return told.err


def test_a_port_in_use_is_named_with_what_to_do(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(capsys, port=str(port)) == (
            f"Port {port} of 127.0.0.1 cannot be used (address already in use): end what uses it, or take another,"
            f" such as `make run PORT={port + 1}`.\n"
        )


@pytest.mark.parametrize("port", ["0", "65536", "80a", "-1", ""])
def test_a_port_that_is_none_is_refused(db: None, capsys: pytest.CaptureFixture[str], port: str) -> None:
    assert refused(capsys, port=port) == f"PORT is {port!r}; write a whole number from 1 to 65535.\n"
