"""Which servers may be spoken to, and at which address: looked up once, then pinned.

A host is allowed by name, or as an address or network. A name that turns out to be a private address (of this machine,
of the network behind it, a cloud's metadata service) is refused unless that address is allowed as well; so whoever
controls a name's DNS record can't lead the client to where only this machine can go.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from engine.errors import InputError

HOSTS_VARIABLE = "COSTADVISOR_ENDPOINT_HOSTS"
PORTS = {"http": 80, "https": 443}
LOOPBACK = ("127.0.0.0/8", "::1/128")  # what the name localhost stands for

Api = Literal["completions", "chat"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base URL, to which `/completions` is appended, and the one IP address that its host stands for."""

    url: str
    host: str
    port: int
    ip: str

    @classmethod
    def of(cls, url: str, allowed: Iterable[str]) -> Self:
        """Check a URL and look its host up; raises InputError when it is not one, not allowed, or not to be found."""
        parts = _parsed(url)
        hosts, networks = _allowed(allowed)
        host = parts.hostname or ""
        literal = _ip(host)
        if host not in hosts and not (literal and _within(literal, networks)):
            raise InputError(
                f"--endpoint: host {host} is not allowed; name it with --allow-host {host}, or in {HOSTS_VARIABLE}"
            )
        port = parts.port or PORTS[parts.scheme]
        found = literal or _looked_up(host, port)
        if not found.is_global and not _within(found, networks):
            raise InputError(
                f"--endpoint: {host} is the private address {found}; if that is meant, add --allow-host {found}"
            )
        path = parts.path.rstrip("/") or "/v1"
        return cls(f"{parts.scheme}://{parts.netloc}{path}", host, port, str(found))

    @property
    def open_to_listeners(self) -> bool:
        """Whether what is sent can be read on its way through the internet."""
        return self.url.startswith("http:") and ipaddress.ip_address(self.ip).is_global


def hosts_of_environment() -> list[str]:
    """The operator's list, separated by commas."""
    return [host.strip() for host in os.environ.get(HOSTS_VARIABLE, "").split(",") if host.strip()]


def _parsed(url: str) -> SplitResult:
    if any(sign in url for sign in "@?#"):
        raise InputError(
            "--endpoint holds a user, a password, a query or a fragment; give the bare address, and a key by "
            "--api-key-env NAME"
        )
    try:
        parts = urlsplit(url)
        good = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InputError(f"--endpoint {url!r} is not an address; it must be like https://host:8000/v1")
    return parts


def _allowed(entries: Iterable[str]) -> tuple[set[str], list[Network]]:
    """Names in lower case, and the networks among the entries."""
    hosts = {entry.lower().strip("[]") for entry in entries}
    networks = [network for host in hosts if (network := _network(host))]
    if "localhost" in hosts:
        networks += [ipaddress.ip_network(network) for network in LOOPBACK]
    return hosts, networks


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _ip(text: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _within(address: IpAddress, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _looked_up(host: str, port: int) -> IpAddress:
    """The first address of a name; IPv4 first, which servers listen on more often than not."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"--endpoint: host {host} is not to be found ({error}); correct its name") from None
    addresses = sorted({str(entry[4][0]) for entry in found}, key=lambda text: (":" in text, text))
    return ipaddress.ip_address(addresses[0].split("%")[0])
