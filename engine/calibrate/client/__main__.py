"""The load client as a child process of a calibration: JSON lines in, JSON lines out, over its standard streams.

    in   {"command": "start", "address": {…}, "model": NAME or null, "api": "completions" | "chat",
          "key_variable": NAME or null, "silence_s": S}                       first, and once
         {"command": "generate", "prompts": [[ids]], "max_tokens": N}         greedy
         {"command": "level", "spec": {…}}
         {"command": "stop"}                                                  ends a running level
    out  {"event": "ready" | "generated" | "progress" | "level" | "refused" | "failed", …}

Times are this process's monotonic clock, read when bytes arrive. The key is read from the environment, so that it is in
no argument and no message. The process ends when its standard input closes, and so never outlives its parent.
"""

import asyncio
import json
import os
import resource
import sys
import threading
from typing import IO, Any

from engine.calibrate.client.address import Address
from engine.calibrate.client.levels import TooManyErrors, run_level
from engine.calibrate.client.sender import Sender
from engine.calibrate.client.wire import Failure, Wire
from engine.calibrate.level import LevelSpec
from engine.errors import InputError

Message = dict[str, Any]


class Client:
    """Reads commands and answers each; a `stop` is read while a level runs."""

    def __init__(self, inbox: IO[str], outbox: IO[str]) -> None:
        self.inbox = inbox
        self.outbox = outbox
        self.interrupted = asyncio.Event()
        self.commands: asyncio.Queue[Message] = asyncio.Queue()

    async def serve(self) -> None:
        threading.Thread(target=self._listen, args=(asyncio.get_running_loop(),), daemon=True).start()
        try:
            await self._serve(await self.commands.get())
        except InputError as error:
            self._send({"event": "refused", "message": str(error)})
        except (Failure, TooManyErrors) as error:
            self._send({"event": "failed", "message": str(error)})
        except Exception as error:
            self._send({"event": "failed", "message": f"{type(error).__name__}: {error}"})
            raise

    async def _serve(self, start: Message) -> None:
        key = os.environ.get(start["key_variable"]) if start["key_variable"] else None
        async with Wire(Address(**start["address"]), start["api"], key, start["silence_s"]) as wire:
            sender = await Sender.meet(wire, start["model"])
            self._send({"event": "ready", **sender.describe()})
            while True:
                await self._obey(sender, await self.commands.get())

    async def _obey(self, sender: Sender, command: Message) -> None:
        if command["command"] == "generate":
            tokens = await sender.generate(command["prompts"], command["max_tokens"])
            self._send({"event": "generated", "tokens": tokens})
        elif command["command"] == "level":
            spec = LevelSpec.from_json(command["spec"])
            log = await run_level(sender, spec, self.interrupted, self._report)
            self._send({"event": "level", "log": log.to_json()})
        else:
            raise ValueError(f"unknown command {command['command']!r}")

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in self.inbox:
            command = json.loads(line)
            if command["command"] == "stop":
                loop.call_soon_threadsafe(self.interrupted.set)
            else:
                loop.call_soon_threadsafe(self.interrupted.clear)  # a stop is for the level that ran when it came
                loop.call_soon_threadsafe(self.commands.put_nowait, command)
        os._exit(0)  # the parent is gone, or done with us; what is outstanding, nobody waits for

    def _report(self, seconds: float, tokens: int) -> None:
        self._send({"event": "progress", "seconds": seconds, "tokens": tokens})

    def _send(self, message: Message) -> None:
        self.outbox.write(json.dumps(message, separators=(",", ":")) + "\n")
        self.outbox.flush()


def main() -> None:
    """Serve over the standard streams; whatever else prints goes to standard error. As many connections as may be."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    outbox = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(Client(sys.stdin, outbox).serve())


if __name__ == "__main__":
    main()
