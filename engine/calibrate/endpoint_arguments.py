"""The command's arguments for a server over HTTP, and the target they name."""

import argparse

from engine.calibrate.client.address import HOSTS_VARIABLE, Address, hosts_of_environment
from engine.calibrate.targets.endpoint import SILENCE_S, EndpointTarget
from engine.errors import InputError


def add_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """All but the first mean nothing without it, and are refused then."""
    group = parser.add_argument_group("an OpenAI-compatible server in place of our own engine")
    group.add_argument("--endpoint", metavar="URL", help="its base address, such as https://host:8000/v1")
    group.add_argument(
        "--endpoint-model", metavar="NAME", help="as the server calls it; default: the only one it lists"
    )
    group.add_argument("--endpoint-api", choices=["completions", "chat"], help="default: completions")
    group.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key")
    group.add_argument(
        "--allow-host",
        action="append",
        metavar="HOST",
        help=f"a name, address or network that may be spoken to, besides {HOSTS_VARIABLE}; may be repeated",
    )
    group.add_argument(
        "--silence-s", type=float, help=f"give a request up after so long without a byte; default {SILENCE_S:g}"
    )


def endpoint_target(args: argparse.Namespace) -> EndpointTarget | None:
    """The target of --endpoint, or None without one; raises InputError for what can't be spoken to."""
    if args.endpoint is None:
        for name in ("endpoint_model", "endpoint_api", "api_key_env", "allow_host", "silence_s"):
            if getattr(args, name) is not None:
                raise InputError(f"--{name.replace('_', '-')} says something of an endpoint; give --endpoint URL too")
        return None
    silence_s = SILENCE_S if args.silence_s is None else args.silence_s
    if not 0 < silence_s < float("inf"):
        raise InputError(f"--silence-s is {silence_s:g}; it must be above 0")
    address = Address.of(args.endpoint, [*(args.allow_host or ()), *hosts_of_environment()])
    return EndpointTarget(address, args.endpoint_model, args.endpoint_api or "completions", args.api_key_env, silence_s)
