"""What is to be measured, and how thoroughly."""

from dataclasses import dataclass
from typing import Literal

from engine.calibrate.slo import Slo
from engine.calibrate.workload import Workload
from engine.config import ModelShape
from engine.errors import InputError

TierName = Literal["quick", "standard", "careful"]


@dataclass(frozen=True, slots=True)
class Tier:
    """How thorough a calibration is. `minutes` bound it unless something else is asked for.

    `map_share` of the time after loading is for everything up to the step model; replication aims at an interval of
    `half_width`, with at most `most_runs` open-loop runs.
    """

    minutes: float
    map_share: float
    half_width: float
    most_runs: int
    stressed: bool = False


TIERS: dict[TierName, Tier] = {
    "quick": Tier(minutes=5, map_share=1.0, half_width=0, most_runs=0),
    "standard": Tier(minutes=25, map_share=0.25, half_width=0.035, most_runs=18),
    "careful": Tier(minutes=44, map_share=0.2, half_width=0.03, most_runs=30, stressed=True),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be measured. `shape` is the model's, None where only an endpoint knows it; `max_minutes` bounds the
    whole run."""

    shape: ModelShape | None
    workload: Workload
    slo: Slo
    seed: int
    max_minutes: float
    tier: TierName = "quick"

    @property
    def depth(self) -> Tier:
        return TIERS[self.tier]


def check_fits(workload: Workload, longest: int) -> None:
    """Raise InputError when some requests are longer than the model: leaving them out would change the workload."""
    beyond = workload.beyond(longest)
    if beyond:
        pair = workload.longest
        raise InputError(
            f"workload: {beyond} of {len(workload.lengths)} lengths exceed the model's {longest} tokens, the longest "
            f"has {pair.input} input and {pair.output} output tokens; take a shorter workload or another model"
        )
