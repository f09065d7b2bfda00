"""The run directory: whole files, the same ask, and levels that come back as they were."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.journal import Journal, StorageError, write_whole
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.protocol import Ask, calibrate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets import TargetError
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.truth import SHAPE
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig
from engine.errors import InputError

pytestmark = pytest.mark.usefixtures("few_simulated")

ASKED = {"seed": 1, "slo": {"ttft_p95_ms": 400}}
ASK = Ask(SHAPE, workload_fixed(200, 10), Slo(400, 45), seed=3, max_minutes=2.0)


class Mortal(SimulatedTarget):
    """Breaks down after so many levels; counts what it ran."""

    ran = 0
    lives = 10**6

    def run(self, spec: LevelSpec, *how: Any) -> LevelLog:
        if spec.purpose not in ("probe", "soak"):
            if self.ran == self.lives:
                raise TargetError("it broke")
            self.ran += 1
        return super().run(spec, *how)


def broken(folder: Path, limits: SchedulerConfig, truth: StepModel, lives: int) -> None:
    target = Mortal(limits, truth.ms)
    target.lives = lives
    with pytest.raises(TargetError):
        calibrate(ASK, target, lambda: False, lambda *line: None, Journal.begin(folder, ASKED))


def test_going_on_gives_what_an_unbroken_run_gives(tmp_path: Path, limits: SchedulerConfig, truth: StepModel) -> None:
    whole = calibrate(ASK, Mortal(limits, truth.ms), lambda: False, lambda *line: None)
    broken(tmp_path / "run", limits, truth, lives=4)
    target = Mortal(limits, truth.ms)
    journal = Journal.resume(tmp_path / "run", ASKED)
    measured = calibrate(ASK, target, lambda: False, lambda *line: None, journal)
    assert target.ran == len(whole.levels) - 4
    assert measured.resumed == 1
    assert [level.spec.id for level in measured.levels] == [level.spec.id for level in whole.levels]
    for level, other in zip(measured.levels, whole.levels, strict=True):
        assert level.spec.purpose == other.spec.purpose
        assert level.spec.purpose == "verification" or level.spec == other.spec, "the verification fills the time left"
    kept, first = measured.levels[0], whole.levels[0]
    assert kept.log.to_json() == first.log.to_json()
    assert measured.max_rate is not None
    assert whole.max_rate is not None
    assert measured.max_rate.requests_per_s == pytest.approx(whole.max_rate.requests_per_s, rel=0.02)
    assert measured.drift == pytest.approx(0, abs=0.02)


def test_a_finished_run_is_not_measured_again(tmp_path: Path, limits: SchedulerConfig, truth: StepModel) -> None:
    first = calibrate(
        ASK, Mortal(limits, truth.ms), lambda: False, lambda *line: None, Journal.begin(tmp_path / "run", ASKED)
    )
    target = Mortal(limits, truth.ms)
    again = calibrate(ASK, target, lambda: False, lambda *line: None, Journal.resume(tmp_path / "run", ASKED))
    assert (target.ran, target.clock()) == (0, 0.0), "it is not even started"
    assert again.facts == first.facts
    assert again.max_rate is not None
    assert first.max_rate is not None
    assert again.max_rate.requests_per_s == first.max_rate.requests_per_s
    assert again.drift == first.drift


def test_another_ask_or_another_machine_is_refused(tmp_path: Path, limits: SchedulerConfig, truth: StepModel) -> None:
    folder = tmp_path / "run"
    broken(folder, limits, truth, lives=3)
    with pytest.raises(InputError, match="seed was 1 and is now 2"):
        Journal.resume(folder, ASKED | {"seed": 2})
    smaller = SchedulerConfig(max_batch=16, num_blocks=4096, max_model_len=4096)
    with pytest.raises(InputError, match=r"scheduler was .*max_batch=32.* and is .*max_batch=16"):
        calibrate(ASK, Mortal(smaller, truth.ms), lambda: False, lambda *line: None, Journal.resume(folder, ASKED))
    with pytest.raises(InputError, match="did not end; go on with it by --resume"):
        Journal.begin(folder, ASKED)


def test_files_of_others_and_broken_ones_are_refused(tmp_path: Path, limits: SchedulerConfig, truth: StepModel) -> None:
    with pytest.raises(InputError, match=r"there is no ask\.json"):
        Journal.resume(tmp_path / "nowhere", ASKED)
    folder = tmp_path / "run"
    broken(folder, limits, truth, lives=3)
    level = folder / "L2.json.gz"
    stranger = json.loads(gzip.decompress(level.read_bytes())) | {"ask_sha256": "0" * 64}
    for data, message in (
        (gzip.compress(json.dumps(stranger).encode()), "another calibration"),
        (b"x", "can't be read"),
    ):
        level.write_bytes(data)
        with pytest.raises(InputError, match=message):
            Journal.resume(folder, ASKED)


def test_no_text_is_kept(tmp_path: Path, limits: SchedulerConfig, truth: StepModel) -> None:
    broken(tmp_path / "run", limits, truth, lives=2)
    kept = json.loads(gzip.decompress((tmp_path / "run" / "L1.json.gz").read_bytes()))
    assert {type(value) for row in kept["log"]["requests"] for value in row} <= {int, float, bool, type(None)}


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_bytes(b"before")

    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StorageError, match="No space left on device"):
        write_whole(tmp_path / "kept", b"after it all")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"before"
