"""An endpoint as a target: its client process, its key, and how it ends."""

import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from engine.calibrate.client.address import Address
from engine.calibrate.level import LevelSpec
from engine.calibrate.targets import TargetError
from engine.calibrate.targets.endpoint import EndpointTarget
from engine.calibrate.workload import Lengths
from engine.errors import InputError
from tests.engine.calibrate.mock_server import Mock, mock_server
from tests.engine.calibrate.test_embedded_target import gone, never

ENDLESS = LevelSpec("L1", "step_map", 1, (Lengths(40, 8),), 60.0, 60.0, concurrency=2)
KEY = "COSTADVISOR_TEST_KEY"


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_server() as server:
        yield server


def quiet(seconds: float, tokens: int) -> None: ...


def test_a_level_over_the_client_process(mock: Mock) -> None:
    target = EndpointTarget(mock.address, None)
    try:
        facts = target.start(never)
        assert (facts.model, facts.device, facts.scheduler, facts.load_s) == ("mock", "unknown", None, None)
        assert target.generate([[5, 6], [7]], 2) == [list(b" w13 w14"), list(b" w15 w16")]
        assert target.pids() == ()
        began = time.monotonic()
        seen: list[tuple[float, int]] = []
        log = target.run(ENDLESS, lambda: time.monotonic() > began + 1.2, lambda *line: seen.append(line))
        assert not log.complete
        assert log.steps == []
        assert log.client is not None
        assert log.client.errors == {}
        assert seen
        assert 0 < seen[0][1] <= sum(row.output for row in log.requests)
        (client,) = [child.pid for child in psutil.Process().children() if "client" in " ".join(child.cmdline())]
    finally:
        target.close()
    assert gone(client)


def test_the_key_goes_into_the_requests_and_nowhere_else(mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=f"--api-key-env {KEY}: that environment variable is not set"):
        EndpointTarget(mock.address, "mock:key", key_variable=KEY)
    monkeypatch.setenv(KEY, "secret")
    wrong = EndpointTarget(mock.address, "mock:key", key_variable=KEY)
    with pytest.raises(InputError, match=r"refuses the key \(HTTP 401: .*wrong key: Bearer \*\*\*"):
        wrong.start(never)
    wrong.close()
    monkeypatch.setenv(KEY, "right")
    right = EndpointTarget(mock.address, "mock:key", key_variable=KEY)
    try:
        right.start(never)
        clients = [child for child in psutil.Process().children() if "client" in " ".join(child.cmdline())]
        assert all("right" not in " ".join(client.cmdline()) for client in clients)
    finally:
        right.close()


def test_a_key_is_not_sent_in_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    public = Address("http://api.example.com/v1", "api.example.com", 80, "8.8.8.8")
    with pytest.raises(InputError, match="would send the key unencrypted; give an https address"):
        EndpointTarget(public, "mock", key_variable=KEY)


def test_an_endpoint_that_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        target = EndpointTarget(Address.of(f"http://127.0.0.1:{port}", ["127.0.0.1"]), "m")
        with pytest.raises(TargetError, match=rf"^the endpoint failed: no connection: 127.0.0.1:{port} \(.*refused\)$"):
            target.start(never)
        target.close()


def test_an_endpoint_that_dies_in_the_middle_of_a_level() -> None:
    with mock_server() as server:
        target = EndpointTarget(server.address, "mock")
        try:
            target.start(never)
            began = time.monotonic()

            def kill(*progress: float) -> None:
                server.process.kill()

            with pytest.raises(TargetError, match=r"requests failed .*; the last: (no connection|connection lost)"):
                target.run(ENDLESS, never, kill)
            assert time.monotonic() - began < 15
        finally:
            target.close()


def test_an_endpoint_that_only_listens() -> None:
    """It takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address.of(f"http://127.0.0.1:{listener.getsockname()[1]}", ["127.0.0.1"])
        target = EndpointTarget(address, "m", silence_s=0.3)
        with pytest.raises(TargetError, match=r"^the endpoint failed: silence: nothing came for 0.3 s$"):
            target.start(never)
        target.close()
