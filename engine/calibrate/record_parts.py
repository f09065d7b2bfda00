"""The parts of a calibration record: what was run and what was seen. Units stand in the names; null means unknown."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.calibrate.metrics import Histogram

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
# Of fields that came later: left out where there is nothing, so that every record keeps its bytes and its hash.
left_out = Field(exclude_if=lambda value: value is None)


class Part(BaseModel):
    """Frozen, finite, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Source(Part):
    """What made the record: this engine (then `file_sha256` is null), or the tool whose file was imported.

    `scaled_from` is the hash of the record that this one was carried over from to another GPU.
    """

    tool: Name
    version: Name | None
    commit: str | None = None
    dirty: bool | None = None
    file_sha256: Sha256 | None = None
    scaled_from: Annotated[Sha256 | None, Field(exclude_if=lambda value: value is None)] = None


class Cpu(Part):
    model: str
    cores: Annotated[int, Field(ge=1)]
    memory_gib: Positive
    load_1m: NotNegative


class Gpu(Part):
    name: Name
    memory_gib: Positive | None
    driver: str | None
    power_limit_w: Positive | None
    sm_clock_max_mhz: Positive | None
    ecc: bool | None
    mig: bool | None


class Hardware(Part):
    device: Literal["cpu", "cuda", "unknown"]
    cpu: Cpu | None
    gpus: tuple[Gpu, ...]


# Came later: left out where it is unknown, so that every earlier record keeps its bytes and its hash.
NameKnown = Annotated[Name | None, Field(exclude_if=lambda value: value is None)]
IsKnown = Annotated[bool | None, Field(exclude_if=lambda value: value is None)]


class Software(Part):
    """`engine` and its version where it is not this one."""

    platform: str | None
    python: str | None
    torch: str | None
    triton: str | None
    attention_backend: str | None
    cuda_graphs: bool | None
    engine: NameKnown = None
    engine_version: NameKnown = None


class Model(Part):
    """`weights` are the SHA-256 of each weight file, or "dummy": random ones of the right shape."""

    name: Name
    revision: str | None
    family: str | None
    layers: Count | None
    hidden: Count | None
    heads: Count | None
    kv_heads: Count | None
    head_dim: Count | None
    intermediate: Count | None
    vocab: Count | None
    dtype: str | None
    kv_dtype: str | None
    quantization: str | None
    weights: dict[str, Sha256] | Literal["dummy"] | None


class EngineSettings(Part):
    block_size: Count | None
    num_blocks: Count | None
    max_batch: Count | None
    token_budget: Count | None
    max_model_len: Count | None
    prefix_cache: bool | None
    speculative: IsKnown = None
    tensor_parallel: Count | None
    threads: Count | None


class LengthPair(Part):
    input: Annotated[int, Field(ge=1)]
    output: Annotated[int, Field(ge=1)]
    weight: Positive


class TokenShare(Part):
    tokens: Annotated[int, Field(ge=1)]
    share: Share


class TokenDistribution(Part):
    """Always `mean` tokens; or lognormal, where there is a `p95`; or as the histogram says."""

    mean: Positive
    p95: Annotated[Positive | None, left_out] = None
    histogram: Annotated[tuple[TokenShare, ...] | None, left_out] = None


class WorkloadAsked(Part):
    """`mix` lists the pairs of lengths, unless they came from a trace, which is named by its hash, or from two
    distributions, or only the means of what was sent are known, as of an import. `arrivals` and `shared_by` say what
    else was the trace's: when requests come (`burstiness` is what its gaps amount to; null where arrivals did not clump
    like random ones), and which blocks of prompts are alike (`prefix_hit_share` is what an unlimited cache finds).
    Prompts were cut from `text`, or else random."""

    kind: Literal["fixed", "mix", "distribution", "trace", "means"]
    mean_input_tokens: Positive
    mean_output_tokens: Positive
    mix: tuple[LengthPair, ...] | None
    trace: str | None
    trace_sha256: Sha256 | None
    burstiness: Positive | None
    prefix_hit_share: Share | None
    preset: Annotated[Name | None, left_out] = None
    input_tokens: Annotated[TokenDistribution | None, left_out] = None
    output_tokens: Annotated[TokenDistribution | None, left_out] = None
    arrivals: Annotated[Literal["trace"] | None, left_out] = None
    shared_by: Annotated[Literal["hash_ids"] | None, left_out] = None
    text: Annotated[str | None, left_out] = None
    text_sha256: Annotated[Sha256 | None, left_out] = None


class WorkloadAchieved(Part):
    """Means over the finished requests of all levels at full length."""

    requests: Count | None
    mean_input_tokens: Positive | None
    mean_output_tokens: Positive | None
    prefix_hit_share: Share | None


class SloLimits(Part):
    ttft_p95_ms: Positive
    tpot_p95_ms: Positive
    preset: str | None = None


class Smoke(Part):
    """Greedy tokens of the same prompts, generated twice alone and twice as one batch.

    Each must repeat itself. Batched against alone may differ in the last bits, so its agreement is only noted.
    """

    alone_repeats: bool
    batched_repeats: bool
    tokens: Count
    batched_equal_alone: Count


class ColdStart(Part):
    """From starting the engine's process to its first token."""

    seconds: Positive
    load_s: NotNegative
    first_token_s: NotNegative


class Soak(Part):
    """Warm-up under load. The slope is between the last two slices' median step time, at equal work."""

    seconds: NotNegative
    slope_percent_per_min: float | None
    settled: bool


class Distribution(Part):
    """`n` values in milliseconds; a percentile is null when n is too small to show one (59 for p95, 299 for p99)."""

    n: Count | None
    mean: NotNegative | None
    p50: NotNegative | None
    p95: NotNegative | None
    p99: NotNegative | None
    buckets: tuple[tuple[int, Annotated[int, Field(ge=1)]], ...] | None = None

    @property
    def histogram(self) -> Histogram | None:
        return None if self.buckets is None else Histogram.from_pairs(self.buckets)


class GpuSamples(Part):
    """NVML once a second over the level. `energy_j` is the counter's difference, null where it was reset."""

    samples: Count
    sm_clock_mhz_mean: NotNegative | None
    temperature_c_max: float | None
    power_w_mean: NotNegative | None
    throttled_share: Share | None
    energy_j: NotNegative | None


class Level(Part):
    """One level of load. Tokens and rates count inside the window; prompt tokens when they were computed. The window of
    an import is its whole run."""

    id: Name
    purpose: Literal[
        "reference", "step_map", "bracket", "verification", "replication", "bursty", "prefix_sharing",
        "reference_again", "imported",
    ]  # fmt: skip
    mode: Literal["closed", "open"]
    concurrency: Annotated[int, Field(ge=1)] | None
    offered_requests_per_s: Positive | None
    burstiness: Positive | None
    seed: Count | None
    started_at_s: NotNegative | None
    duration_s: Positive | None
    window_s: NotNegative | None
    complete: bool
    attempted: Count | None
    finished: Count | None
    meeting_slo: Count | None
    input_tokens: Count | None
    output_tokens: Count | None
    output_tokens_per_s: NotNegative | None
    total_tokens_per_s: NotNegative | None
    goodput_requests_per_s: NotNegative | None
    ttft_ms: Distribution
    tpot_ms: Distribution
    itl_gap_ms: Distribution
    e2e_ms: Distribution
    steps: Count | None
    quiet_steps: Count | None = Field(
        default=None, description="of the steps, those during which nobody else used the CPU"
    )
    decode_sequences_mean: NotNegative | None
    kv_use_max: Share | None
    preemptions: Count | None
    prefix_hit_share: Share | None
    client_cpu_share: NotNegative | None
    other_cpu_share: NotNegative | None
    gpu: GpuSamples | None


FlagCode = Literal[
    "client_bound", "send_lag", "drift", "throttled", "prefix_hits", "osl_mismatch", "errors", "few_samples",
    "unresolved", "model_misfit", "cliff", "imported", "closed_loop_only", "not_verified", "cpu_contended",
    "gpu_shared", "not_settled", "unsteady", "incomplete",
]  # fmt: skip


class Flag(Part):
    """Something a reader must know, with its number and the limit it passed. `level` is null for the whole record."""

    code: FlagCode
    level: Name | None
    value: float | None
    limit: float | None
    message: str


class Raw(Part):
    """The compressed file of per-request and per-iteration rows that lies beside the record."""

    file: Name
    sha256: Sha256
    rows: Count
