"""A workload profile: every figure with where it came from. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

HOURS_IN_WEEK = 168
DEFAULT = "default"

# measured: a bill, a log or a trace shows it; stated: a person of the team said so; assumed: nobody did, our default.
Basis = Literal["measured", "stated", "assumed"]
Privacy = Literal["no_training", "zero_retention", "in_region", "own_vpc", "on_prem"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PeakToMean(_Frozen):
    """Every day alike, its busiest hour this many times the mean hour."""

    peak_to_mean: float = Field(ge=1, le=24)


class QualityGate(_Frozen):
    """No worse than `reference` (an option's id, such as today's) by more than `margin` on `measure`."""

    measure: str = Field(min_length=1, max_length=80)
    reference: str = Field(min_length=1, max_length=80)
    margin: float = Field(ge=0, le=1)


def _mean_one(weights: tuple[float, ...]) -> tuple[float, ...]:
    if len(weights) != HOURS_IN_WEEK or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"an hourly shape is {HOURS_IN_WEEK} weights of 0 or more, not all 0")
    return weights


WeekShape = Annotated[tuple[float, ...], AfterValidator(_mean_one)]
HourlyShape = Literal["flat"] | PeakToMean | WeekShape
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e12)]

T = TypeVar("T")


class Figure(_Frozen, Generic[T]):
    """A value, on what basis, and in words where it came from; `low` and `high` end a 90 % interval where one is
    known."""

    value: T
    basis: Basis
    source: str
    low: float | None = None
    high: float | None = None


def measured(value: T, source: str) -> Figure[T]:
    return Figure(value=value, basis="measured", source=source)


def stated(value: T, source: str) -> Figure[T]:
    return Figure(value=value, basis="stated", source=source)


def assumed(value: T, source: str = DEFAULT) -> Figure[T]:
    return Figure(value=value, basis="assumed", source=source)


class Profile(_Frozen):
    """Units as in a case: tokens and requests are counts, shares are 0 to 1, weights are of the hours of the week
    from Monday 00:00 UTC, `burstiness` is the gamma shape of arrivals inside the hour (1 is Poisson).

    `prefix_hit_share` is what a replica's own prefix cache would find of all input. `ttft_p95_ms` and `tpot_p95_ms` are
    what is wanted; `today_…` is what today's API does, None where no log says.
    """

    requests_per_month: Figure[Positive]
    input_tokens: Figure[Positive]
    output_tokens: Figure[Positive]
    cached_input_share: Figure[Share] = assumed(0.0)
    batchable_share: Figure[Share] = assumed(0.0)
    hourly_shape: Figure[HourlyShape] = assumed(PeakToMean(peak_to_mean=2))
    burstiness: Figure[Annotated[float, Field(gt=0, le=100)]] = assumed(1.0)
    growth_per_month: Figure[Annotated[float, Field(gt=-1, le=1)]] = assumed(0.0)
    prefix_hit_share: Figure[Annotated[float, Field(ge=0, lt=1)]] = assumed(0.0)
    ttft_p95_ms: Figure[Positive] = assumed(1000.0)
    tpot_p95_ms: Figure[Positive] = assumed(50.0)
    today_ttft_p95_ms: Figure[Positive | None] = assumed(None)
    today_tpot_p95_ms: Figure[Positive | None] = assumed(None)
    privacy: Figure[tuple[Privacy, ...]] = assumed(())
    quality_gate: Figure[QualityGate | None] = assumed(None)
    max_commitment_months: Figure[Annotated[int, Field(ge=0, le=120)] | None] = assumed(None)

    @classmethod
    def of(cls, figures: Mapping[str, Figure[Any]]) -> "Profile":
        """Checks the values; pydantic's ValidationError names the field."""
        return cls.model_validate({name: figure.model_dump() for name, figure in figures.items()})

    def with_figures(self, figures: Mapping[str, Figure[Any]]) -> "Profile":
        """A copy with some figures replaced, checked again."""
        return Profile.of({name: getattr(self, name) for name in type(self).model_fields} | dict(figures))


class LengthBucket(_Frozen):
    """Requests of about these lengths, `weight` being their share."""

    input: int = Field(ge=1)
    output: int = Field(ge=1)
    weight: float = Field(gt=0, le=1)


class Lengths(_Frozen):
    """The joint distribution of requests' lengths, in buckets, with the percentiles people ask for (none of merged
    traffic)."""

    source: str
    requests: int
    input_percentiles: dict[str, int]
    output_percentiles: dict[str, int]
    mix: tuple[LengthBucket, ...]
