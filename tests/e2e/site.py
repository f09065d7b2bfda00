"""`manage.py run` in an installation: started, and what it said of its address and login."""

import re
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

SAID = re.compile(r"==> (http://\S+/)\n==> log in as (\S+) with the password (\S+)(.*)\n")


@dataclass(frozen=True)
class Site:
    command: "subprocess.Popen[str]"
    address: str
    email: str
    password: str
    said: str


def serve(installation: Any) -> Site:
    """Fails with what the command said, if it ends instead."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command: subprocess.Popen[str] = installation.start("run", "--port", str(port))
    assert command.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = command.stdout.readline()
        assert line, said + command.communicate(timeout=5)[1]
        said += line
    found = SAID.search(said)
    assert found, said
    return Site(command, found[1], found[2], found[3], said)
