"""The mock server as it is started for real, and what it knows of the requests it served."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.calibrate.client.address import Address

STEP = "a=10,b=0.5,c=0.05"


@dataclass(frozen=True, slots=True)
class Mock:
    process: subprocess.Popen[str]
    url: str

    @property
    def address(self) -> Address:
        return Address.of(self.url, ["127.0.0.1"])

    def log(self) -> list[dict[str, Any]]:
        """Its requests so far, in the order they came."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/log") as answer:  # noqa: S310
            requests: list[dict[str, Any]] = json.load(answer)["requests"]
        return requests


@contextmanager
def mock_server(step: str = STEP, *more: str) -> Iterator[Mock]:
    command = [sys.executable, "-m", "engine.calibrate.mock", "--step", step, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Mock(process, json.loads(process.stdout.readline())["endpoint"])
        finally:
            process.terminate()
