"""`python -m engine.calibrate.mock`: a server with a known step time, for testing what measures servers.

    ms of a step = a + b·batch + c·prefill + d·context

over its decoding sequences, prompt tokens, and KV tokens that decodes read. One JSON line on standard output says where
it listens. It ends with SIGTERM or Ctrl-C.
"""

import argparse
import asyncio
import json
import os
import signal
import sys

from aiohttp import web

from engine.calibrate.mock.faults import FAULTS
from engine.calibrate.mock.replica import Replica
from engine.calibrate.mock.server import Server
from engine.calibrate.simulator import StepTime
from engine.config import SchedulerConfig
from engine.errors import InputError

OK, REFUSED = 0, 2


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        limits = SchedulerConfig(
            max_batch=args.max_batch,
            token_budget=args.token_budget,
            block_size=args.block_size,
            num_blocks=args.num_blocks,
        )
        replica = Replica(limits, step_time(args.step))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    try:
        asyncio.run(_serve(replica, args.host, args.port))
    except OSError as error:
        print(f"error: can't listen on {args.host}:{args.port} ({os.strerror(error.errno or 0)})", file=sys.stderr)
        return REFUSED
    return OK


def step_time(text: str) -> StepTime:
    """`a=20,b=1.5,c=0.1,d=0.002` as milliseconds of a step; what is left out is 0, but not a."""
    try:
        given = {name: float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        given = {}
    if "a" not in given or not given.keys() <= set("abcd") or min(given.values()) < 0 or given["a"] == 0:
        raise InputError(f"--step is {text!r}; it must be like a=20,b=1.5,c=0.1,d=0.002 in ms, with a above 0")
    a, b, c, d = (given.get(name, 0.0) for name in "abcd")
    return lambda decode, prefill, context, pairs: a + b * decode + c * prefill + d * context


async def _serve(replica: Replica, host: str, port: int) -> None:
    runner = web.AppRunner(Server(replica).application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    bound_host, bound_port = runner.addresses[0][:2]
    print(json.dumps({"endpoint": f"http://{bound_host}:{bound_port}/v1", "model": "mock"}), flush=True)
    await ended.wait()
    await runner.cleanup()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.mock",
        description="An OpenAI-compatible server with a known step time. The model is called mock; mock:FAULT, or "
        f"mock:FAULT/N for every Nth request, misbehaves: {'; '.join(f'{k} ({v})' for k, v in FAULTS.items())}.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--step", default="a=20,b=1.5,c=0.1,d=0.002", help="milliseconds; default %(default)s")
    parser.add_argument("--max-batch", type=int, default=64, help="requests that run at once")
    parser.add_argument("--token-budget", type=int, default=512, help="tokens of a step")
    parser.add_argument("--block-size", type=int, default=64, help="tokens of a KV block")
    parser.add_argument("--num-blocks", type=int, default=4096, help="KV blocks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
