"""Any OpenAI-compatible server: a black box over HTTP, put under load by a client process of its own.

It is running already and shared by nobody, or so the record must assume: its load time, device, number formats and
scheduler stay unknown, and there is no step log. A level's `client` part says what the sender saw.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from engine.calibrate.client.address import Address, Api
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.targets import TargetFacts
from engine.calibrate.targets.child import Child
from engine.errors import InputError

COMMAND = (sys.executable, "-m", "engine.calibrate.client")
SILENCE_S = 300.0  # without a byte of an answer; it is given up then


class EndpointTarget:
    """Starts the load client, hands it levels, and ends it.

    `model` is the name to ask for; without one the server must list exactly one. The key is in the environment variable
    `key_variable` and goes nowhere but into the requests.
    """

    def __init__(
        self,
        address: Address,
        model: str | None,
        api: Api = "completions",
        key_variable: str | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        if key_variable is not None and not os.environ.get(key_variable):
            raise InputError(f"--api-key-env {key_variable}: that environment variable is not set; put the key into it")
        if key_variable is not None and address.open_to_listeners:
            raise InputError(f"--api-key-env: {address.url} would send the key unencrypted; give an https address")
        self._start = {
            "command": "start",
            "address": asdict(address),
            "model": model,
            "api": api,
            "key_variable": key_variable,
            "silence_s": silence_s,
        }
        self._client = Child(COMMAND, "the endpoint")

    def clock(self) -> float:
        return time.monotonic()

    def start(self, stopped: Callable[[], bool]) -> TargetFacts:
        """Have a first few requests answered; raises InputError when the server refuses them all."""
        self._client.start()
        self._client.send(self._start)
        ready = self._client.answer("ready", stopped)
        return TargetFacts("unknown", None, None, None, None, None, None, None, model=ready["model"])

    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """Bytes of text in place of token ids, which do not come back: for seeing whether a server repeats itself."""
        self._client.send({"command": "generate", "prompts": prompts, "max_tokens": max_tokens})
        answers: list[list[int]] = self._client.answer("generated", lambda: False)["tokens"]
        return answers

    def run(self, spec: LevelSpec, stopped: Callable[[], bool], report: Callable[[float, int], None]) -> LevelLog:
        return self._client.run(spec, stopped, report)

    def pids(self) -> tuple[int, ...]:
        """None: the server's processes are not known, and on this machine they would pass for somebody else's."""
        return ()

    def close(self) -> None:
        self._client.close()
