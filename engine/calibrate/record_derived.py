"""The part of a calibration record that follows from its levels. Units stand in the names; null means unknown."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine.calibrate.record_parts import Count, Name, NotNegative, Part, Positive

FEWEST_REQUESTS = 5  # of a verification
MEANS = ("ttft_mean_ms", "tpot_mean_ms")  # that judge it


class Saturation(Part):
    """The fastest closed-loop level, of an import the fastest of all. A rate to plan with it is not: arrivals that
    clump miss the SLO long before."""

    level: Name
    concurrency: Annotated[int, Field(ge=1)] | None
    requests_per_s: Positive
    output_tokens_per_s: Positive
    total_tokens_per_s: Positive | None


# Came later, or has gone since: left out where there is none, so that every record keeps its bytes and its hash.
Sometimes = Annotated[NotNegative | None, Field(exclude_if=lambda value: value is None)]


class CurvePoint(Part):
    """p95 at one rate, the mean of the runs: simulated, or as another tool measured it; its 95 % interval from their
    spread, where there were enough."""

    requests_per_s: NotNegative
    runs: Annotated[int, Field(ge=1)]
    ttft_p95_ms: NotNegative
    ttft_p95_low_ms: Sometimes = None
    ttft_p95_high_ms: Sometimes = None
    tpot_p95_ms: NotNegative
    tpot_p95_low_ms: Sometimes = None
    tpot_p95_high_ms: Sometimes = None


class MaxRate(Part):
    """λ*: the largest open-loop rate inside the SLO, with a 95 % interval. λ_plan is `low`.

    Of an import, `imported` is read off another tool's open-loop levels and lies between the two levels around it;
    `derated` is 0.75 of the throughput that was reached, lies between 0.68 of it and all of it, and no level known to
    miss the SLO counts.
    """

    requests_per_s: Positive
    low: Positive
    high: Positive
    method: Literal["simulated", "measured", "imported", "derated", "scaled"]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.requests_per_s <= self.high:
            raise ValueError("low, requests_per_s and high must ascend")
        return self


class HeldOutLevel(Part):
    """One level, predicted from the others; its steps without and with prompt tokens. Null, or the median left out,
    where it had none."""

    level: Name
    decode_mape: NotNegative | None
    decode_mdape: Sometimes = None
    prefill_mape: NotNegative | None
    prefill_mdape: Sometimes = None


class StepModelFit(Part):
    """`ms = a_bucket + b·decode + c·prefill + d·context + e·prefill·context`; covariance in the order of `terms`.

    `mixed` is added to `a_prefill` in a step that decodes as well. `b_4` and `d_4`, where they are, stand in place of
    `b` and `d` for the sequences of a batch beyond the fourth, and so on. A held-out level may be several runs at the
    same N, "L2+L9"; `levels` leaves out those in which the machine was slower than in another run. `mape` and `mdape`,
    of which the latter judges the model, are of the worse kind of step, mean over the held-out levels; null when none
    could be held out. `fitted_mdape` is that of the steps it was fitted to, and `unsteadiness` how much longer those
    and the left-out runs took in all than the model says: stretches in which the machine was slower than it mostly is.
    The first records had `fitted_mape` instead of these three, and were judged by `mape`.
    """

    terms: tuple[str, ...]
    coefficients: dict[str, float]
    covariance: tuple[tuple[float, ...], ...]
    levels: tuple[Name, ...]
    steps: Count
    mape: NotNegative | None
    mdape: Sometimes = None
    fitted_mape: Sometimes = None
    fitted_mdape: Sometimes = None
    unsteadiness: Sometimes = None
    held_out: tuple[HeldOutLevel, ...]


class Compared(Part):
    """One metric of the verification level, measured and predicted by replaying the same requests in the simulator."""

    metric: Literal["ttft_mean_ms", "tpot_mean_ms", "output_tokens_per_s", "ttft_p95_ms", "tpot_p95_ms"]
    n: Count
    measured: NotNegative
    predicted: NotNegative
    deviation: float


class Verification(Part):
    """The open-loop level near λ_plan. `agrees`: enough requests, all finished, and every mean within the limit."""

    level: Name
    requests_per_s: Positive
    requests: Count
    requests_for_p95: Count
    compared: tuple[Compared, ...]
    limit: Positive
    agrees: bool

    @property
    def disagrees(self) -> bool:
        """Whether it speaks against the prediction; fewer requests speak neither for nor against."""
        return not self.agrees and self.requests >= FEWEST_REQUESTS

    @property
    def worst(self) -> float:
        """The largest deviation of a mean, over the smaller of the two values."""
        means = [line for line in self.compared if line.metric in MEANS and line.measured and line.predicted]
        ratios = [line.measured / line.predicted for line in means]
        return max((max(ratio, 1 / ratio) - 1 for ratio in ratios), default=0.0)


NoRate = Literal[
    "slo_unreachable", "no_level_inside", "model_misfit", "too_few_levels", "contended", "incomplete", "void",
    "unknown",
]  # fmt: skip


class SweepPoint(Part):
    """p95 of the open-loop runs at one rate, the mean of the runs as they were measured."""

    requests_per_s: Positive
    runs: Annotated[int, Field(ge=1)]
    ttft_p95_ms: NotNegative
    tpot_p95_ms: NotNegative


class StandIn(Part):
    """Of a server that shows no iterations: our own scheduler with the step times (as in a step model) and limits by
    which it would have shown a client the same closed loops. It says nothing of the inside of that server.

    `error` is the root mean square of the logarithms of throughput, mean TTFT and mean TPOT of `levels`, seen over
    shown. One that is too far off is not used.
    """

    coefficients: dict[str, float]
    max_batch: Annotated[int, Field(ge=1)]
    token_budget: Annotated[int, Field(ge=1)]
    levels: tuple[Name, ...]
    error: NotNegative
    used: bool


class Sweep(Part):
    """Open-loop runs about λ*. `runs_near` lie within 10 % of it and decide on it; the window of each was `window_s`.

    `method`: "twins", each run beside the same requests in the simulator; "stand_in", the same on a stand-in for a
    server that shows no iterations; or "isotonic", a monotone curve through the runs alone. `predicted` is what had
    been simulated before.
    """

    method: Literal["twins", "stand_in", "isotonic"]
    runs: Annotated[int, Field(ge=1)]
    runs_near: Count
    oversaturated_runs: Count
    window_s: Positive
    half_width: NotNegative | None
    points: tuple[SweepPoint, ...]
    predicted: MaxRate | None


class Scaled(Part):
    """How a rate was carried over to a GPU that nothing was measured on; `source.scaled_from` is the record it is from.

    The ratios are the new GPU's datasheet over the old one's. `step_model`: each term of the step model was divided by
    the ratio of what bounds it, and open-loop traffic simulated again. `slow_motion`: there was none, and all times
    were divided by one ratio, the geometric mean. The interval is from everything as slow as the smaller ratio makes it
    to everything as fast as the larger, each `widened` times further out, and by the interval of the record.
    """

    method: Literal["step_model", "slow_motion"]
    from_gpu: Name
    to_gpu: Name
    bandwidth_ratio: Positive
    flops_ratio: Positive
    widened: Positive
    weights_ms: NotNegative | None = Field(
        description="of a step on the old GPU, what reading the weights takes at the datasheet's bandwidth"
    )
    kv_tokens: Count | None = Field(description="what the new GPU's memory holds beside the weights")


class Derived(Part):
    """What follows from the levels. `max_rate` is null, with the reason, when no rate can be stated.

    `alone_…` are p95s of requests that never meet: the smallest limits that this replica can keep at all.
    """

    saturation: Saturation | None
    max_rate: MaxRate | None
    no_rate_because: NoRate | None
    binding: Literal["ttft_p95_ms", "tpot_p95_ms", "saturation"] | None
    alone_ttft_p95_ms: NotNegative | None
    alone_tpot_p95_ms: NotNegative | None
    curve: tuple[CurvePoint, ...]
    simulated_requests: Count | None
    simulated_requests_per_wall_s: Positive | None
    step_model: StepModelFit | None
    verification: Verification | None
    drift: float | None
    energy_j_per_token: NotNegative | None
    sweep: Annotated[Sweep | None, Field(exclude_if=lambda value: value is None)] = None
    scaled: Annotated[Scaled | None, Field(exclude_if=lambda value: value is None)] = None
    stand_in: Annotated[StandIn | None, Field(exclude_if=lambda value: value is None)] = None

    @model_validator(mode="after")
    def _rate_or_reason(self) -> Self:
        if (self.max_rate is None) == (self.no_rate_because is None):
            raise ValueError("exactly one of max_rate and no_rate_because must be there")
        return self
