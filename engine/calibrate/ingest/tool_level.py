"""One level of load as another tool tells of it, in our units, with what its percentiles prove."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.calibrate.ingest.document import Fields
from engine.calibrate.ingest.facts import Facts
from engine.calibrate.metrics import Histogram, percentile, samples_needed
from engine.calibrate.record_parts import Distribution

PERCENTILES = (50, 75, 90, 95, 99)
MOST_BURSTINESS = 1.1  # of arrivals that still clump like random ones


@dataclass(frozen=True, slots=True)
class Latency:
    """One metric in milliseconds: all single values, or the mean and percentiles that the tool made of `n` of them."""

    values: tuple[float, ...] | None = None
    n: int | None = None
    mean: float | None = None
    percentiles: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Sequence[float]) -> "Latency":
        """Of single values, of which a tool that saw no tokens arrive writes zeros."""
        if not any(values):
            return cls()
        shown = {each: percentile(values, each / 100) for each in PERCENTILES}
        known = {each: ms for each, ms in shown.items() if ms is not None}
        return cls(tuple(values), len(values), sum(values) / len(values), known)

    @classmethod
    def told(cls, n: int | None, mean: float | None, percentiles: Mapping[int, float | None]) -> "Latency":
        """Of a tool's own statistics; without a mean above 0 nothing was measured."""
        if not mean:
            return cls()
        known = {each: ms for each, ms in percentiles.items() if ms is not None and enough(n, each)}
        return cls(None, n, mean, known)

    @property
    def p95_at_least(self) -> float:
        """p95 is no lower than this: itself, or a lower percentile."""
        return max((ms for each, ms in self.percentiles.items() if each <= 95), default=0.0)

    @property
    def p95_at_most(self) -> float | None:
        """p95 is no higher than this: itself, or p99; None where neither is known or the values are too few."""
        if self.n is None or self.n < samples_needed(0.95):
            return None
        return self.percentiles.get(95, self.percentiles.get(99))

    def part(self) -> Distribution:
        return Distribution(
            n=self.n,
            mean=self.mean,
            p50=self.percentiles.get(50),
            p95=self.percentiles.get(95),
            p99=self.percentiles.get(99) if self.n is None or self.n >= samples_needed(0.99) else None,
            buckets=None if self.values is None else tuple(Histogram.of(self.values).pairs()),
        )


def enough(n: int | None, each: int) -> bool:
    """Whether a tool's percentile of `n` values can be shown. p99 of too few to show it still lies above p95."""
    return n is None or n >= samples_needed(min(each, 95) / 100)


def latency_by_stem(fields: Fields, stem: str, n: int | None, *, unit: str = "_ms", scale: float = 1.0) -> Latency:
    """From `mean_ttft_ms`, `median_ttft_ms`, `p95_ttft_ms` …, as vLLM, SGLang and InferenceX write them."""
    mean, median = fields.number(f"mean_{stem}{unit}"), fields.number(f"median_{stem}{unit}")
    told = {each: fields.number(f"p{each}_{stem}{unit}") for each in PERCENTILES}
    told[50] = median
    scaled = {each: None if ms is None else ms * scale for each, ms in told.items()}
    return Latency.told(n, None if mean is None else mean * scale, scaled)


@dataclass(frozen=True, slots=True)
class Load:
    """How requests were sent: at a rate whatever happens, or a number of them kept going.

    `burstiness` is the gamma shape of the arrivals, None where they are evenly spaced or it is unknown. A closed loop
    without `concurrency` sends everything at once. A rate with a cap on what is going is a closed loop.
    """

    mode: Literal["open", "closed"]
    requests_per_s: float | None = None
    burstiness: float | None = None
    concurrency: int | None = None

    @property
    def clumps(self) -> bool:
        """Whether latencies under it are those of traffic: sent on schedule, with random gaps."""
        return self.mode == "open" and self.burstiness is not None and self.burstiness <= MOST_BURSTINESS

    @property
    def all_at_once(self) -> bool:
        return self.mode == "closed" and self.concurrency is None


@dataclass(frozen=True, slots=True)
class ToolLevel:
    """Rates are of the whole run. `load` is None where the file has none. `requests` are TTFT and TPOT of each."""

    load: Load | None
    requests_per_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float | None
    mean_input_tokens: float
    mean_output_tokens: float
    ttft: Latency
    tpot: Latency
    itl_gap: Latency = Latency()
    e2e: Latency = Latency()
    duration_s: float | None = None
    attempted: int | None = None
    finished: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    complete: bool = True
    requests: tuple[tuple[float, float | None], ...] | None = None
    measured_on: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What one object of a file brought: facts, and a level unless it only describes the others."""

    where: str
    facts: Facts
    level: ToolLevel | None
