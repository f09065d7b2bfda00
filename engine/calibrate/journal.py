"""A calibration's run directory: what is finished is on disk, so that a run that is killed can be gone on with.

    ask.json        what was asked, by name
    opening.json    the target, its pace and the plan, once it is warm
    L1.json.gz …    every finished level, without text
    sessions        a line for each time it was gone on with

Each file appears whole or not at all, and names the ask it belongs to by hash.
"""

import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.calibrate.contention import CpuUse
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.measured import MeasuredLevel
from engine.calibrate.plan import Pace, Plan
from engine.calibrate.record_parts import ColdStart, Cpu, Gpu, GpuSamples, Smoke, Soak
from engine.calibrate.targets import TargetFacts
from engine.config import SchedulerConfig
from engine.errors import InputError

FORM = 1  # of the files in here and of the order of phases; another one can't be gone on with

MOST_SHOWN = 120  # characters of what was asked, in a refusal


class StorageError(RuntimeError):
    """Something could not be written; the message says what and why."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises StorageError, and leaves nothing half-written, when it can't be."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path} can't be written ({error.strerror}); make room, then go on with --resume") from None


@dataclass(frozen=True, slots=True)
class Opening:
    """What the phases before the first level found."""

    facts: TargetFacts
    cpu: Cpu
    gpus: tuple[Gpu, ...]
    gpu_strangers: int
    smoke: Smoke | None
    cold_start: ColdStart | None
    soak: Soak | None
    pace: Pace
    plan: Plan
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        parts = {"cpu": self.cpu, "smoke": self.smoke, "cold_start": self.cold_start, "soak": self.soak}
        return {
            "facts": asdict(self.facts),
            "gpus": [gpu.model_dump() for gpu in self.gpus],
            "gpu_strangers": self.gpu_strangers,
            "pace": asdict(self.pace),
            "plan": asdict(self.plan),
            "elapsed_s": self.elapsed_s,
            **{name: None if part is None else part.model_dump() for name, part in parts.items()},
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Opening":
        facts, plan = raw["facts"], raw["plan"]
        scheduler = facts["scheduler"] and SchedulerConfig(**facts["scheduler"])
        kinds = {"cpu": Cpu, "smoke": Smoke, "cold_start": ColdStart, "soak": Soak}
        parts: dict[str, Any] = {name: raw[name] and kind(**raw[name]) for name, kind in kinds.items()}
        return cls(
            facts=TargetFacts(**facts | {"scheduler": scheduler}),
            gpus=tuple(Gpu(**gpu) for gpu in raw["gpus"]),
            gpu_strangers=raw["gpu_strangers"],
            pace=Pace(**raw["pace"]),
            plan=Plan(**plan | {"ladder": tuple(plan["ladder"])}),
            elapsed_s=raw["elapsed_s"],
            **parts,
        )


class Journal:
    """The run directory, or nothing where there is none: then nothing is kept.

    Replaying, levels come back one after the other, and time stands where the last of them ended.
    """

    def __init__(self, folder: Path | None = None, asked: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.asked: dict[str, Any] = json.loads(_packed({"form": FORM, **(asked or {})}))
        self.opening: Opening | None = None
        self.levels: list[tuple[MeasuredLevel, float]] = []
        self.resumed = 0
        self._replayed = 0

    @classmethod
    def begin(cls, folder: Path, asked: Mapping[str, Any]) -> "Journal":
        """A new one; raises InputError when one is there already. Nothing is written before something is to be kept."""
        if folder.exists():
            raise InputError(
                f"{folder} holds a calibration that did not end; go on with it by --resume {folder}, or remove it"
            )
        return cls(folder, asked)

    @classmethod
    def resume(cls, folder: Path, asked: Mapping[str, Any]) -> "Journal":
        """Read what a killed run left; raises InputError when there is nothing, or it was asked something else."""
        journal = cls(folder, asked)
        before = journal._read("ask.json")
        names = [name for name in {**before, **journal.asked} if before.get(name) != journal.asked.get(name)]
        if names:
            was = "; ".join(
                f"{name} was {_short(before.get(name))} and is now {_short(journal.asked.get(name))}" for name in names
            )
            raise InputError(f"--resume {folder}: it was asked something else: {was}; ask the same, or calibrate anew")
        journal.opening = Opening.from_json(journal._read("opening.json"))
        number = 1
        while (folder / f"L{number}.json.gz").is_file():
            journal.levels.append(journal._read_level(number))
            number += 1
        journal._note_session()
        return journal

    @property
    def sha256(self) -> str:
        """Of what was asked."""
        return hashlib.sha256(_packed(self.asked)).hexdigest()

    @property
    def replaying(self) -> bool:
        return self._replayed < len(self.levels)

    @property
    def replayed_until_s(self) -> float:
        """Elapsed seconds of the whole calibration when what was replayed so far had ended."""
        if self._replayed:
            return self.levels[self._replayed - 1][1]
        return self.opening.elapsed_s if self.opening else 0.0

    @property
    def elapsed_s(self) -> float:
        """Of all that is kept."""
        if self.levels:
            return self.levels[-1][1]
        return self.opening.elapsed_s if self.opening else 0.0

    def next_level(self, spec: LevelSpec) -> MeasuredLevel | None:
        """The level that is asked for, if it is kept; raises InputError when another one is in its place."""
        if not self.replaying:
            return None
        level, _ = self.levels[self._replayed]
        kept, asked = level.spec, spec
        if (kept.purpose, kept.concurrency) != (asked.purpose, asked.concurrency):
            raise InputError(
                f"--resume {self.folder}: {kept.id} is {kept.purpose} {kept.concurrency or 'open loop'} there, where "
                f"this version measures {asked.purpose} {asked.concurrency or 'open loop'}; calibrate anew"
            )
        self._replayed += 1
        return level

    def keep_opening(self, opening: Opening) -> None:
        if self.folder is None:
            return
        self._make_folder()
        self._write("ask.json", self.asked)
        self._write("opening.json", opening.to_json())

    def keep_level(self, level: MeasuredLevel, elapsed_s: float) -> None:
        self._replayed += 1
        self.levels.append((level, elapsed_s))
        if self.folder is None:
            return
        content = {
            "spec": level.spec.to_json(),
            "log": level.log.to_json(),
            "started_at_s": level.started_at_s,
            "cpu": asdict(level.cpu),
            "gpu": None if level.gpu is None else level.gpu.model_dump(),
            "rate": level.rate,
            "burstiness": level.burstiness,
            "oversaturated": level.oversaturated,
            "elapsed_s": elapsed_s,
        }
        self._write(f"L{len(self.levels)}.json.gz", content)

    def remove(self) -> None:
        """The record holds everything now."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make_folder(self) -> None:
        if self.folder is not None:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise StorageError(f"{self.folder} can't be made ({error.strerror})") from None

    def _note_session(self) -> None:
        if self.folder is not None:
            sessions = self.folder / "sessions"
            self.resumed = 1 + (sessions.read_text().count("\n") if sessions.is_file() else 0)
            write_whole(sessions, b"gone on with\n" * self.resumed)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        if self.folder is None:
            return
        data = _packed({"ask_sha256": self.sha256, **content})
        write_whole(self.folder / name, gzip.compress(data, 6, mtime=0) if name.endswith(".gz") else data)

    def _read(self, name: str) -> dict[str, Any]:
        path = (self.folder or Path()) / name
        try:
            data = path.read_bytes()
            raw: dict[str, Any] = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
        except FileNotFoundError:
            raise InputError(
                f"--resume {self.folder}: there is no {name}; give the run directory of a calibration that was killed "
                "after its warm-up, or calibrate anew"
            ) from None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"--resume {self.folder}: {name} can't be read ({error}); calibrate anew") from None
        if raw.pop("ask_sha256", None) != self.sha256 and name != "ask.json":
            raise InputError(f"--resume {self.folder}: {name} belongs to another calibration; calibrate anew")
        return raw

    def _read_level(self, number: int) -> tuple[MeasuredLevel, float]:
        raw = self._read(f"L{number}.json.gz")
        cpu = raw["cpu"] | {"noisy_s": tuple(map(tuple, raw["cpu"]["noisy_s"]))}
        level = MeasuredLevel(
            spec=LevelSpec.from_json(raw["spec"]),
            log=LevelLog.from_json(raw["log"]),
            started_at_s=raw["started_at_s"],
            cpu=CpuUse(**cpu),
            gpu=None if raw["gpu"] is None else GpuSamples(**raw["gpu"]),
            rate=raw["rate"],
            burstiness=raw["burstiness"],
            oversaturated=raw["oversaturated"],
        )
        return level, raw["elapsed_s"]


def _short(value: object) -> str:
    """A trace's lengths would be pages."""
    text = str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _packed(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
