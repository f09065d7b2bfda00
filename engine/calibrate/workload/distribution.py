"""How many tokens prompts have, or answers: always the same, lognormal by mean and p95, or as a histogram says."""

import itertools
import json
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from engine.calibrate.workload.numbers import positive, whole_tokens
from engine.errors import InputError

PARTS = 50  # equally likely, each at its mean
NORMAL = NormalDist()
Z_95 = NORMAL.inv_cdf(0.95)
MOST_P95 = math.exp(Z_95**2 / 2)  # times the mean; no lognormal distribution has more
SHARES_MAY_MISS = 0.01  # 1, as rounded shares do


@dataclass(frozen=True, slots=True)
class Distribution:
    """Lengths in tokens with their shares; `mean` and `p95` as they were asked for, `mean` that of a histogram."""

    tokens: tuple[int, ...]
    shares: tuple[float, ...]
    mean: float
    p95: float | None = None

    @property
    def constant(self) -> bool:
        return len(self.tokens) == 1


def distribution_read(name: str, raw: Any) -> Distribution:
    """What a workload file says of `name`; raises InputError naming the field."""
    keys = raw.keys() if isinstance(raw, dict) else set()
    if keys == {"mean"}:
        mean = positive(f"{name}.mean", raw["mean"])
        return Distribution((whole_tokens(name, round(mean)),), (1.0,), mean)
    if keys == {"mean", "p95"}:
        return _lognormal(name, positive(f"{name}.mean", raw["mean"]), positive(f"{name}.p95", raw["p95"]))
    if keys == {"histogram"}:
        return _histogram(f"{name}.histogram", raw["histogram"])
    raise InputError(
        f'{name} is {json.dumps(raw)[:80]}; it must be {{"mean": tokens}}, {{"mean": tokens, "p95": tokens}}, '
        '{"histogram": [{"tokens", "share"}, …]} or {"trace": path}'
    )


def _lognormal(name: str, mean: float, p95: float) -> Distribution:
    """The lognormal distribution with this mean and p95, of the two that there are the less spread out one.

    It is cut into equally likely parts, each at its own mean: that keeps the mean, and the long tail's share of tokens.
    """
    if not mean < p95 <= MOST_P95 * mean:
        raise InputError(
            f"{name}.p95 is {p95:g}; it must be above the mean, {mean:g}, and at most {MOST_P95:.2f} times it"
        )
    sigma = Z_95 - math.sqrt(max(0.0, Z_95**2 - 2 * math.log(p95 / mean)))
    inner = [NORMAL.cdf(NORMAL.inv_cdf(part / PARTS) - sigma) for part in range(1, PARTS)]
    edges = [0.0, *inner, 1.0]  # the share of all tokens that lies below each part's end
    means = (PARTS * mean * (high - low) for low, high in itertools.pairwise(edges))
    tokens = (whole_tokens(name, max(1, round(part))) for part in means)
    return Distribution(tuple(tokens), (1 / PARTS,) * PARTS, mean, p95)


def _histogram(name: str, raw: Any) -> Distribution:
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{name} must be a list with at least one {{tokens, share}}")
    tokens, shares = [], []
    for number, entry in enumerate(raw):
        if not isinstance(entry, dict) or entry.keys() != {"tokens", "share"}:
            raise InputError(f"{name}[{number}] must have exactly tokens and share")
        length = round(positive(f"{name}[{number}].tokens", entry["tokens"]))
        tokens.append(whole_tokens(f"{name}[{number}].tokens", length))
        shares.append(positive(f"{name}[{number}].share", entry["share"]))
    total = sum(shares)
    if not math.isclose(total, 1, abs_tol=SHARES_MAY_MISS):
        raise InputError(f"the shares of {name} sum to {total:g}; they must sum to 1")
    mean = sum(length * share for length, share in zip(tokens, shares, strict=True)) / total
    return Distribution(tuple(tokens), tuple(share / total for share in shares), mean)
