"""The mock server: its steps take the time that its formula says, and it speaks as other servers do."""

import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from engine.calibrate.mock.__main__ import main, step_time
from engine.errors import InputError
from tests.engine.calibrate.mock_server import Mock, mock_server


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_server("a=10,b=0.5,c=0.05,d=0.01") as server:
        yield server


def post(mock: Mock, path: str, body: Any) -> dict[str, Any]:
    request = urllib.request.Request(mock.url + path, json.dumps(body).encode())  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_step_takes_what_the_formula_says() -> None:
    step_ms = step_time("a=20,b=1.5,c=0.1,d=0.002")
    assert step_ms(4, 100, 5000, 123456) == pytest.approx(20 + 6 + 10 + 10)
    assert step_time("a=5")(4, 100, 5000, 1) == 5


def test_a_lone_request_is_timed_by_the_formula(mock: Mock) -> None:
    """200 prompt tokens make a first step of 20 ms; decodes then read 201, 202, … tokens."""
    answer = post(mock, "/completions", {"model": "mock", "prompt": [7] * 200, "max_tokens": 5})
    served = mock.log()[-1]
    assert served["output"] == answer["usage"]["completion_tokens"] == 5
    assert served["first_s"] - served["arrived_s"] == pytest.approx(0.020, abs=0.010)
    assert served["last_s"] - served["first_s"] == pytest.approx((4 * 10.5 + 0.01 * (201 + 202 + 203 + 204)) / 1000)


def test_it_answers_whole_and_repeats_itself(mock: Mock) -> None:
    first, second = (
        post(mock, "/chat/completions", {"model": "mock", "messages": [{"content": "one two"}], "max_tokens": 2})
        for _ in range(2)
    )
    assert first == second
    assert first["choices"][0]["message"]["content"].count(" w") == 2
    assert first["choices"][0]["finish_reason"] == "length"
    assert first["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "mock"}, "prompt must be a text or a list of token ids"),
        ({"model": "mock", "prompt": []}, "prompt must be a text or a list of token ids"),
        ({"model": "mock", "prompt": "a", "max_tokens": "many"}, "max_tokens is 'many'"),
        ({"model": "gpt", "prompt": "a"}, "the model 'gpt' does not exist"),
        ({"model": "mock:rude", "prompt": "a"}, "the model 'mock:rude' does not exist"),
        ({"model": "mock", "prompt": "a", "max_tokens": 10**6}, "exceed the model's length"),
        ([], "has no attribute"),
    ],
)
def test_it_refuses_in_the_shape_of_openai(mock: Mock, body: Any, message: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(mock, "/completions", body)
    with refused.value as answer:
        assert answer.status == 400
        assert message in json.load(answer)["error"]["message"]


def test_it_ends_when_it_is_told_to() -> None:
    with mock_server() as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 0


@pytest.mark.parametrize("step", ["", "20", "a=x", "a=0", "b=1", "a=1,z=2", "a=1,b=-1"])
def test_a_wrong_formula_is_refused(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="it must be like a=20"):
        step_time(step)
    assert main(["--step", step]) == 2
    assert capsys.readouterr().err.startswith("error: --step is")


def test_a_port_that_is_taken_is_one_line(mock: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", mock.url.split(":")[2].split("/")[0]]) == 2
    assert re.fullmatch(
        r"error: can't listen on 127\.0\.0\.1:\d+ \(Address already in use\)\n", capsys.readouterr().err
    )
