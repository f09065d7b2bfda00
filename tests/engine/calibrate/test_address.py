"""Which servers a calibration may speak to."""

import socket
from typing import Any

import pytest

from engine.calibrate.client.address import HOSTS_VARIABLE, Address, hosts_of_environment
from engine.errors import InputError

NAMES = {
    "api.example.com": ["93.184.216.34"],
    "llm.internal": ["10.1.2.3"],
    "rebound.example.com": ["169.254.169.254"],
    "localhost": ["::1", "127.0.0.1"],
    "six.example.com": ["2606:2800:220:1::1"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A resolver of our own, and the names it was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **how: Any) -> list[Any]:
        asked.append(host)
        if host not in NAMES:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in NAMES[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    ("url", "allowed", "base", "port", "ip"),
    [
        ("https://api.example.com", ["api.example.com"], "https://api.example.com/v1", 443, "93.184.216.34"),
        ("https://API.Example.com/openai/v1/", ["api.example.COM"], "https://API.Example.com/openai/v1", 443, None),
        ("http://127.0.0.1:8000/v1", ["127.0.0.1"], "http://127.0.0.1:8000/v1", 8000, "127.0.0.1"),
        ("http://localhost:8000", ["localhost"], "http://localhost:8000/v1", 8000, "127.0.0.1"),
        ("http://llm.internal", ["llm.internal", "10.0.0.0/8"], "http://llm.internal/v1", 80, "10.1.2.3"),
        ("http://10.1.2.3", ["10.1.0.0/16"], "http://10.1.2.3/v1", 80, "10.1.2.3"),
        ("http://[::1]:8000", ["[::1]"], "http://[::1]:8000/v1", 8000, "::1"),
        ("https://six.example.com", ["six.example.com"], "https://six.example.com/v1", 443, "2606:2800:220:1::1"),
    ],
)
def test_allowed(url: str, allowed: list[str], base: str, port: int, ip: str | None, names: list[str]) -> None:
    address = Address.of(url, allowed)
    assert (address.url, address.port) == (base, port)
    assert ip is None or address.ip == ip
    assert len(names) <= 1, "looked up once"


@pytest.mark.parametrize(
    ("url", "allowed", "message"),
    [
        (
            "https://api.example.com",
            [],
            "is not allowed; name it with --allow-host api.example.com, or in COST",
        ),
        ("https://api.example.com", ["example.com"], "host api.example.com is not allowed"),
        ("http://127.0.0.1:8000", [], "host 127.0.0.1 is not allowed"),
        ("http://127.0.0.1:8000", ["localhost.example"], "host 127.0.0.1 is not allowed"),
        (
            "http://llm.internal",
            ["llm.internal"],
            "private address 10.1.2.3; if that is meant, add --allow-host 10",
        ),
        ("http://rebound.example.com", ["rebound.example.com"], "private address 169.254.169.254"),
        ("http://[::ffff:10.0.0.1]", ["[::ffff:0:0]"], "is not allowed"),
        ("http://nowhere.example.com", ["nowhere.example.com"], "host nowhere.example.com is not to be found"),
        ("api.example.com", ["api.example.com"], "is not an address; it must be like https://host:8000/v1"),
        ("file:///etc/passwd", [], "is not an address"),
        ("http://h:99999", ["h"], "is not an address"),
        ("https://user:pw@api.example.com", ["api.example.com"], "holds a user, a password"),
        ("https://api.example.com/?key=1", ["api.example.com"], "holds a user, a password, a query or a fragment"),
    ],
)
def test_refused(url: str, allowed: list[str], message: str, names: list[str]) -> None:
    with pytest.raises(InputError, match=message):
        Address.of(url, allowed)
    assert not any(name in names for name in ("127.0.0.1", "api.example.com")), "what is refused is not even looked up"


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InputError) as refused:
        Address.of("ftp://user:hunter2@api.example.com", ["api.example.com"])
    assert "hunter2" not in str(refused.value)


def test_the_operators_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, "api.example.com, 10.0.0.0/8 ,")
    assert hosts_of_environment() == ["api.example.com", "10.0.0.0/8"]
    monkeypatch.delenv(HOSTS_VARIABLE)
    assert hosts_of_environment() == []
