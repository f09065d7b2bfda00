"""The metrics, each defined once, and the two forms they are kept in: percentiles with their n, and histograms.

`t_sched` is when the schedule wanted a request sent, `t_sent` when it was handed to the engine, `t_first` and
`t_last` when its first and last token were known, `output` how many tokens it got.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

DEFINITIONS = {
    "ttft": "t_first - t_sched in open loop, t_first - t_sent in closed loop",
    "tpot": "(t_last - t_first) / (output - 1) per request with at least 2 output tokens",
    "itl_gap": "single gaps between the tokens of a request, pooled over requests, by timestamp inside the window",
    "e2e": "t_last - t_sched",
    "throughput": "tokens by timestamp inside the window; what drains after it is discarded",
    "goodput": "requests that finish and meet every SLO, over requests attempted",
}

BUCKET_RATIO = 1.01
_LOG_RATIO = math.log(BUCKET_RATIO)


def samples_needed(quantile: float) -> int:
    """Fewest samples of which one lies above the quantile with 95 % certainty: 59 for p95, 299 for p99."""
    return math.ceil(math.log(0.05) / math.log(quantile))


def percentile(values: Sequence[float], quantile: float) -> float | None:
    """Nearest-rank percentile, or None when there are too few values to show one."""
    if len(values) < samples_needed(quantile):
        return None
    return nearest_rank(values, quantile)


def nearest_rank(values: Sequence[float], quantile: float) -> float:
    """The smallest value that at least this share of the values does not exceed, whatever their number."""
    return sorted(values)[max(0, math.ceil(quantile * len(values)) - 1)]


@dataclass(slots=True)
class Histogram:
    """Counts in buckets whose bounds grow by 1 %: mergeable, and any quantile is right to about half a percent.

    Bucket `i` holds values from ratio^i up to ratio^(i+1). Values are above 0.
    """

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        self.counts[math.floor(math.log(max(value, 1e-6)) / _LOG_RATIO)] += 1

    def merge(self, other: "Histogram") -> "Histogram":
        return Histogram(self.counts + other.counts)

    @property
    def n(self) -> int:
        return self.counts.total()

    @property
    def mean(self) -> float | None:
        total = sum(_middle(bucket) * count for bucket, count in self.counts.items())
        return total / self.n if self.n else None

    def percentile(self, quantile: float) -> float | None:
        """The middle of the bucket that holds the nearest rank, or None when there are too few values."""
        if self.n < samples_needed(quantile):
            return None
        left = math.ceil(quantile * self.n)
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return _middle(bucket)
        return None

    @classmethod
    def of(cls, values: Iterable[float]) -> "Histogram":
        histogram = cls()
        for value in values:
            histogram.add(value)
        return histogram

    def pairs(self) -> list[tuple[int, int]]:
        """(bucket, count) in order: the form it is stored and sent in."""
        return sorted(self.counts.items())

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[int, int]]) -> "Histogram":
        return cls(Counter(dict(pairs)))


def _middle(bucket: int) -> float:
    return math.exp(_LOG_RATIO * (bucket + 0.5))
