"""`manage.py run [--port N]`: the web application and one worker on this machine, with the example loaded."""

import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from costadvisor.accounts.selectors import user_find
from costadvisor.accounts.services import user_password_set
from costadvisor.common.refusal import Refusal
from costadvisor.home.demo.example import EMAIL, example_load
from costadvisor.home.processes import WORKER, Child, ChildEndedError, interrupted_by_signals, running

FAILED, REFUSED = 1, 2
HOST, PORT, LARGEST_PORT = "127.0.0.1", "8000", 65535
LOOK_EVERY_S = 0.5
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


class Command(BaseCommand):
    """Exits 0 after Ctrl-C, 2 where it cannot start, 1 if the web server or the worker ended by itself."""

    help = "Serve the web application on this machine, with a worker and the example."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", default=PORT, help=f"default {PORT}")

    def handle(self, *_: Any, port: str, **__: Any) -> None:
        try:
            with interrupted_by_signals(), _listener(port) as listener:
                self._serve(listener)
        except Refusal as refusal:
            self._end(str(refusal), REFUSED)
        except ChildEndedError as error:
            self._end(f"{error}. The rest is ended too.", FAILED)
        except KeyboardInterrupt:
            self.stdout.write("\nThe web server and the worker have ended.")

    def _serve(self, listener: socket.socket) -> None:
        """Until a KeyboardInterrupt, or until a child ends, which raises ChildEndedError."""
        call_command("migrate", verbosity=0)
        known = user_find(email=EMAIL) is not None
        user = example_load(self._tell).user
        password = _password()
        user_password_set(user=user, password=password)
        with (
            running(_web(listener)) as web,
            running(Child("The worker", WORKER, log=_folder() / "worker.log")) as worker,
        ):
            replaced = " (new: the one before is void)" if known else ""
            self._tell(f"http://{HOST}:{listener.getsockname()[1]}/")
            self._tell(f"log in as {EMAIL} with the password {password}{replaced}")
            self._tell(f"logs: {web.log} and {worker.log}. Ctrl-C ends both.")
            while True:
                web.check()
                worker.check()
                time.sleep(LOOK_EVERY_S)

    def _tell(self, line: str) -> None:
        self.stdout.write(f"==> {line}")
        self.stdout.flush()

    def _end(self, line: str, code: int) -> None:
        self.stderr.write(line)
        sys.exit(code)


def _listener(port: str) -> socket.socket:
    """The socket that the web server will answer at, taken before anything is started or stored. Raises Refusal."""
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= LARGEST_PORT):
        raise Refusal(f"PORT is {port!r}; write a whole number from 1 to {LARGEST_PORT}.")
    try:
        return socket.create_server((HOST, int(port)))
    except OSError as error:
        other = int(port) % LARGEST_PORT + 1
        raise Refusal(
            f"Port {port} of {HOST} cannot be used ({os.strerror(error.errno or 0).lower()}): end what uses it, or take"
            f" another, such as `make run PORT={other}`."
        ) from None


def _web(listener: socket.socket) -> Child:
    """One process with threads suits SQLite. Pages of errors show no settings, as in production."""
    command = [sys.executable, "-m", "gunicorn", "costadvisor.wsgi", f"--bind=fd://{listener.fileno()}"]
    command += ["--threads=8", "--graceful-timeout=5", "--no-control-socket", "--log-level=warning"]
    return Child(
        "The web server",
        command,
        log=_folder() / "web.log",
        environment={"DEBUG": "false"},
        pass_fds=[listener.fileno()],
    )


def _password() -> str:
    return "-".join("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(3))


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "run"
