"""The calibration record, `costadvisor.calibration/1`: immutable, validated, and known by its canonical JSON's hash.

Importing this module is cheap and pulls in neither torch nor numpy: the web process reads records with it. A record
knows no money. Unknown is null, never guessed. Its JSON Schema is docs/calibration.schema.json.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from engine.calibrate.metrics import DEFINITIONS
from engine.calibrate.record_derived import Derived, Scaled
from engine.calibrate.record_parts import (
    ColdStart,
    Count,
    EngineSettings,
    Flag,
    Hardware,
    Level,
    Model,
    Name,
    NotNegative,
    Part,
    Raw,
    SloLimits,
    Smoke,
    Soak,
    Software,
    Source,
    WorkloadAchieved,
    WorkloadAsked,
)
from engine.errors import InputError

SCHEMA = "costadvisor.calibration/1"

RUNS_FOR_A = 6  # of open loop, within 10 % of the rate

Tier = Literal["quick", "standard", "careful"]


class Grade(NamedTuple):
    """A letter (None: no evidence), and in words what it rests on."""

    letter: Literal["A", "B", "C", "D"] | None
    basis: str


class Record(Part):
    """One calibration of one replica."""

    schema_version: Literal["costadvisor.calibration/1"] = Field(alias="schema", default="costadvisor.calibration/1")
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    created_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    complete: bool
    source: Source
    protocol: Name
    tier: Tier | None
    seed: Count | None
    wall_s: dict[str, NotNegative] = Field(description="seconds spent in each phase")
    definitions: dict[str, str] = Field(default=DEFINITIONS)
    hardware: Hardware
    software: Software
    model: Model
    engine: EngineSettings
    workload: WorkloadAsked
    achieved: WorkloadAchieved
    slo: SloLimits
    smoke: Smoke | None
    cold_start: ColdStart | None
    soak: Soak | None
    levels: tuple[Level, ...]
    derived: Derived
    flags: tuple[Flag, ...]
    raw: Raw | None
    resumed: Annotated[
        int | None,
        Field(ge=1, exclude_if=lambda value: value is None, description="how often it was gone on with after a stop"),
    ] = None

    @model_validator(mode="after")
    def _levels_are_named_once(self) -> Self:
        ids = [level.id for level in self.levels]
        if len(set(ids)) != len(ids):
            raise ValueError("levels must have different ids")
        named = {flag.level for flag in self.flags} - {None}
        if not named <= set(ids):
            raise ValueError(f"a flag names level {min(map(str, named - set(ids)))}, which is not there")
        return self

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces, no NaN. The same record always gives the same bytes."""
        plain = self.model_dump(mode="json", by_alias=True)
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Record":
        """Read and check a record; raises InputError naming the first field that is wrong."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the record"
            raise InputError(f"calibration record: {place}: {first['msg']}") from None

    @property
    def sha256(self) -> str:
        """The record's identity."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def grade(self) -> Grade:
        """Derived, never stored: how far the stated rate can be trusted."""
        if self.source.file_sha256 is not None:
            return self._grade_of_import()
        if self.derived.scaled is not None:
            return self._grade_scaled(self.derived.scaled)
        if self.derived.max_rate is None:
            return self._grade_without_rate()
        check = self.derived.verification
        verified = check is not None and check.agrees
        if self.tier is not None and self.derived.max_rate.method == "simulated":
            if check is not None and check.disagrees:
                return Grade("C", f"predicted, one open-loop level is {100 * check.worst:.0f} % off")
            if self.derived.stand_in is not None:
                return Grade("C", "predicted from outside" + (", one open-loop level agrees" if verified else ""))
            return Grade("B", "predicted, one open-loop level agrees" if verified else "predicted, not verified")
        sweep = self.derived.sweep
        if sweep is not None and sweep.runs_near >= RUNS_FOR_A:
            return Grade("A", f"measured open loop, {sweep.runs_near} runs near the limit")
        if verified:
            return Grade("A", "measured and verified open loop")
        return Grade("B", "measured, not verified open loop")

    def _grade_of_import(self) -> Grade:
        """What another tool measured: C with a latency tail in open loop, D derated from the throughput it reached."""
        found, saturation = self.derived.max_rate, self.derived.saturation
        if found is None and self.derived.no_rate_because == "slo_unreachable":
            return Grade("C", f"imported from {self.source.tool}: even one request at a time misses the SLO")
        if found is None:
            return Grade(None, f"no evidence: {self.derived.no_rate_because}")
        if found.method == "imported":
            return Grade("C", f"imported from {self.source.tool}, open loop")
        most = f"0.75 x {saturation.requests_per_s:.3g} requests/s" if saturation else "0.75 of what was reached"
        return Grade("D", f"imported from {self.source.tool} without an open-loop tail: at most {most}")

    def _grade_scaled(self, scaled: Scaled) -> Grade:
        if self.derived.no_rate_because == "unknown":
            return Grade(None, f"no evidence: the SLO may be out of reach on {scaled.to_gpu}")
        return Grade("C", f"scaled from {scaled.from_gpu} to {scaled.to_gpu} by their datasheets, not measured")

    def _grade_without_rate(self) -> Grade:
        reason = self.derived.no_rate_because
        if reason == "slo_unreachable":
            return Grade("B", "measured: the SLO can't be met at any rate")
        if reason in ("model_misfit", "too_few_levels") and self.derived.saturation is not None:
            return Grade("D", "closed-loop levels only")
        return Grade(None, f"no evidence: {reason}")


def record_read(path: Path) -> Record:
    """Read a record's file; raises InputError when there is none or it is not one."""
    try:
        return Record.from_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); give a calibration record") from None


if __name__ == "__main__":
    print(json.dumps(Record.model_json_schema(by_alias=True), indent=2))
