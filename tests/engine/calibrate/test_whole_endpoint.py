"""Whole calibrations over HTTP by the command, against the mock server, whose true rate the simulator knows."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.calibrate import plan
from engine.calibrate.__main__ import main
from engine.calibrate.assemble import record_of
from engine.calibrate.capacity import Search, max_rate
from engine.calibrate.mock.__main__ import step_time
from engine.calibrate.protocol import Ask, sweep
from engine.calibrate.protocol import calibrate as run_protocol
from engine.calibrate.record import Record, record_read
from engine.calibrate.record_derived import MaxRate
from engine.calibrate.slo import Slo
from engine.calibrate.truth import BlackBox
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig
from tests.engine.calibrate.mock_server import Mock, mock_server

STEP = "a=12,b=1.5,c=0.05"
ROWS = 16
SLO = Slo(400, 28)


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_server(STEP, "--max-batch", str(ROWS)) as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a few seconds in place of a minute; all else is as it always is."""
    for name, value in (("SWEEP_WINDOW_S", 5.0), ("LEAST_SWEEP_WINDOW_S", 1.0), ("LEAST_WARM_IN_S", 0.5)):
        monkeypatch.setattr(plan, name, value)
    monkeypatch.setattr(plan, "MOST_WINDOW_S", 1.0)
    monkeypatch.setattr(sweep, "SWEEP_WINDOW_S", 5.0)
    monkeypatch.setattr(sweep, "FILLED", 0.7)  # of a time so short that a busy machine would pass its end


def calibrate(mock: Mock, out: Path, *more: str) -> tuple[int, Path]:
    lengths = ["--input-tokens", "40", "--output-tokens", "8"]
    slo = ["--slo", f"ttft_p95_ms={SLO.ttft_p95_ms:g},tpot_p95_ms={SLO.tpot_p95_ms:g}"]
    where = ["--endpoint", mock.url, "--allow-host", "127.0.0.1", "--endpoint-model", "mock"]
    return main([*where, *lengths, *slo, "--out", str(out), *more]), out


def true_rate() -> float:
    """λ* of the mock's own step time: the engine's scheduler under a virtual clock, thousands of requests."""
    limits = SchedulerConfig(max_batch=ROWS, num_blocks=4096)
    search = Search(limits, workload_fixed(40, 8), SLO, seed=5)
    step_ms = step_time(STEP)
    saturated = ROWS * 1000 / (step_ms(ROWS, 0, 0, 0) * 8)
    found = max_rate(search, step_ms, [], 0.0, saturated).requests_per_s
    assert found is not None
    return found


def seen_as_a_box() -> MaxRate:
    """The same protocol on the same server under a virtual clock, of which it is told as little."""
    target = BlackBox(SchedulerConfig(max_batch=ROWS, num_blocks=4096), step_time(STEP))
    ask = Ask(None, workload_fixed(40, 8), SLO, seed=0, max_minutes=1.3, tier="standard")
    measured = run_protocol(ask, target, lambda: False, lambda *said: None)
    rate = record_of(ask, measured, None, dummy_weights=False, raw=None).derived.max_rate
    assert rate is not None
    return rate


@pytest.mark.usefixtures("hasty")
def test_the_standard_tier_over_http_finds_the_rate_of_the_mock(
    mock: Mock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = calibrate(mock, tmp_path / "out.json", "--tier", "standard", "--max-minutes", "1.3")
    assert code == 0, capsys.readouterr().err
    record = record_read(out)
    phases = [json.loads(line)["phase"] for line in capsys.readouterr().out.splitlines()]
    in_order = list(dict.fromkeys(phases))
    assert in_order[:7] == ["preflight", "load", "warm_up", "reference", "step_map", "step_model", "verification"]
    assert in_order[-2:] == ["reference_again", "done"]
    rate, sweep_part = record.derived.max_rate, record.derived.sweep
    assert rate is not None, record.grade
    assert sweep_part is not None
    assert (rate.method, sweep_part.method) == ("measured", "stand_in")
    true = true_rate()
    assert rate.requests_per_s == pytest.approx(true, rel=0.25), "windows of seconds, on a machine that others use"
    assert rate.low * 0.9 <= true <= rate.high * 1.1
    simulated = seen_as_a_box()
    assert rate.low <= simulated.high
    assert simulated.low <= rate.high
    _nothing_is_pretended(record)


def _nothing_is_pretended(record: Record) -> None:
    """Of a black box what is inside is unknown, and its flags say how little was measured."""
    assert (record.hardware.device, record.hardware.cpu, record.derived.step_model) == ("unknown", None, None)
    assert (record.engine.max_batch, record.engine.num_blocks) == (None, None)
    assert "model_misfit" not in {flag.code for flag in record.flags}


@pytest.mark.usefixtures("hasty")
def test_the_quick_tier_over_http_predicts_with_a_stand_in(
    mock: Mock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = calibrate(mock, tmp_path / "out.json", "--max-minutes", "0.2")
    assert code == 0
    record = record_read(out)
    assert record.derived.stand_in is not None
    _nothing_is_pretended(record)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    if record.derived.max_rate is None:  # another process held it up for half of a window of half a second
        assert record.grade.letter in ("D", None)
        return
    assert record.grade.letter == "C"
    assert "predicted" in last["message"]
    assert record.derived.max_rate.requests_per_s == pytest.approx(true_rate(), rel=0.35)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("mock:stall", "silence: nothing came for 0.5 s"),
        ("mock:garbage", "garbage: an event is not JSON: {not JSON"),
        ("mock:html", "not an event stream: the content type is text/html"),
        ("mock:http500", "HTTP 500"),
        ("mock:cut/2", "stream cut"),
        ("mock:stall/3", ".*silence"),
    ],
)
def test_an_endpoint_that_misbehaves_ends_it_with_one_line_and_no_record(
    mock: Mock, model: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = ("--endpoint-model", model, "--silence-s", "0.5", "--max-minutes", "0.3")
    code, out = calibrate(mock, tmp_path / "out.json", *faulty)
    errors = capsys.readouterr().err
    assert code == 1, errors
    assert errors.count("\n") == 1
    assert re.match(f"error: the endpoint failed: .*({says})", errors), errors
    assert not out.exists()


@pytest.mark.usefixtures("hasty")
def test_a_disk_that_fills_up_ends_it_and_what_was_finished_can_be_gone_on_with(
    mock: Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third level's rows find no room; after some was made, the two before are not run again."""
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", _full_at("L3.json.gz", Path.write_bytes))
        code, out = calibrate(mock, tmp_path / "out.json", "--max-minutes", "0.2")
    folder = tmp_path / "out.json.run"
    errors = capsys.readouterr().err
    assert code == 1
    assert f"{folder / 'L3.json.gz'} can't be written (No space left on device); make room" in errors
    assert sorted(path.name for path in folder.iterdir()) == ["L1.json.gz", "L2.json.gz", "ask.json", "opening.json"]
    assert not out.exists()
    code, out = calibrate(mock, out, "--max-minutes", "0.2", "--resume", str(folder))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert record_read(out).resumed == 1
    started = [line["message"].split(":")[0] for line in lines if line["message"].endswith(" at a time")]
    assert not {"L1", "L2"} & set(started)
    assert "L3" in started


def _full_at(name: str, write: Callable[[Path, bytes], int]) -> Callable[[Path, bytes], int]:
    def writing(path: Path, data: bytes) -> int:
        if path.name.startswith(name):
            raise OSError(28, "No space left on device")
        return write(path, data)

    return writing
