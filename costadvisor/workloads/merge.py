"""Several workloads as one that serves them all. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

import numpy as np

from costadvisor.common.digits import six_digits
from costadvisor.common.refusal import Refusal
from costadvisor.economics.case import PeakToMean as CasePeak
from costadvisor.economics.demand import week_weights
from costadvisor.workloads.profile import (
    DEFAULT,
    Basis,
    Figure,
    HourlyShape,
    LengthBucket,
    Lengths,
    PeakToMean,
    Privacy,
    Profile,
    QualityGate,
)

MOST_PARTS = 50
LONGEST_SOURCE = 400
_WEAKEST_FIRST: tuple[Basis, ...] = ("assumed", "stated", "measured")


@dataclass(frozen=True)
class NamedProfile:
    name: str
    profile: Profile
    lengths: Lengths | None

    def value(self, figure: str) -> Any:
        return getattr(self.profile, figure).value


Parts = Sequence[NamedProfile]


def merged(parts: Parts) -> NamedProfile:
    """Volumes are added, means weighted by what they are of, targets and rules the strictest.

    Raises Refusal for fewer than two or too many, and where two quality gates cannot both be kept.
    """
    if not 2 <= len(parts) <= MOST_PARTS:
        raise Refusal(f"Choose 2 to {MOST_PARTS} workloads to merge.", field="workloads")
    figures = {name: _figure(name, parts) for name in Profile.model_fields}
    return NamedProfile(" + ".join(part.name for part in parts), Profile.of(figures), _lengths(parts))


def _figure(name: str, parts: Parts) -> Figure[Any]:
    """As well founded as the weakest of its parts. What all say alike is left as they say it."""
    figures: list[Figure[Any]] = [getattr(part.profile, name) for part in parts]
    value = _RULES[name](name, parts)
    if all(figure == figures[0] for figure in figures) and value == figures[0].value:
        return figures[0]
    said = (f"{part.name}: {_words(figure.source)}" for part, figure in zip(parts, figures, strict=True))
    source = f"merged from {'; '.join(said)}"
    kept = source if len(source) <= LONGEST_SOURCE else f"{source[: LONGEST_SOURCE - 1]}…"
    basis = min((figure.basis for figure in figures), key=_WEAKEST_FIRST.index)
    low, high = _growth_interval(parts) if name == "growth_per_month" else (None, None)
    return Figure(value=value, basis=basis, source=kept, low=low, high=high)


def _words(source: str) -> str:
    return "our default" if source == DEFAULT else source


def _requests(parts: Parts) -> list[float]:
    return [part.value("requests_per_month") for part in parts]


def _input(parts: Parts) -> list[float]:
    return [part.value("requests_per_month") * part.value("input_tokens") for part in parts]


def _weighted(weights: Callable[[Parts], list[float]]) -> Callable[[str, Parts], float]:
    def mean(name: str, parts: Parts) -> float:
        given = weights(parts)
        return six_digits(sum(w * part.value(name) for w, part in zip(given, parts, strict=True)) / sum(given))

    return mean


def _sum(name: str, parts: Parts) -> float:
    return six_digits(sum(part.value(name) for part in parts))


def _strictest(name: str, parts: Parts) -> Any:
    return min((part.value(name) for part in parts if part.value(name) is not None), default=None)


def _slowest(name: str, parts: Parts) -> float | None:
    """The p95 of all lies at or below the slowest part's; nothing is known where one part is silent."""
    values = [part.value(name) for part in parts]
    return None if None in values else max(values)


def _burstiness(name: str, parts: Parts) -> float:
    """Independent streams: the index of dispersion of their sum is that of each, weighted by its requests; b is one
    over it."""
    weights = _requests(parts)
    index = sum(w / part.value(name) for w, part in zip(weights, parts, strict=True)) / sum(weights)
    return six_digits(1 / index)


def _week(name: str, parts: Parts) -> HourlyShape:
    shapes = [part.value(name) for part in parts]
    if all(shape == shapes[0] for shape in shapes):
        alike: HourlyShape = shapes[0]
        return alike
    weights = np.average([week_weights(_in_case(shape)) for shape in shapes], axis=0, weights=_requests(parts))
    return tuple(six_digits(weight) for weight in weights.tolist())


def _in_case(shape: HourlyShape) -> Any:
    return CasePeak(peak_to_mean=Decimal(str(shape.peak_to_mean))) if isinstance(shape, PeakToMean) else shape


def _privacy(name: str, parts: Parts) -> tuple[str, ...]:
    wanted = {rule for part in parts for rule in part.value(name)}
    return tuple(rule for rule in get_args(Privacy) if rule in wanted)


def _gate(name: str, parts: Parts) -> QualityGate | None:
    gates: list[QualityGate] = [part.value(name) for part in parts if part.value(name) is not None]
    if len({(gate.measure, gate.reference) for gate in gates}) > 1:
        told = "; ".join(f"{part.name}: {part.value(name).measure}" for part in parts if part.value(name))
        raise Refusal(f"Their quality gates differ ({told}). Give them the same measure first.", field="workloads")
    return min(gates, key=lambda gate: gate.margin, default=None)


def _growth_interval(parts: Parts) -> tuple[float | None, float | None]:
    """Independent errors add as squares; None where one part's is not known."""
    figures = [part.profile.growth_per_month for part in parts]
    weights = [weight / sum(_requests(parts)) for weight in _requests(parts)]
    mean = _RULES["growth_per_month"]("growth_per_month", parts)
    ends = []
    for end, sign in (("low", -1), ("high", 1)):
        known = [getattr(figure, end) for figure in figures]
        if None in known:
            return None, None
        reach = [w * (at - figure.value) for w, at, figure in zip(weights, known, figures, strict=True)]
        ends.append(six_digits(mean + sign * math.hypot(*reach)))
    return ends[0], ends[1]


_RULES: dict[str, Callable[[str, Parts], Any]] = {
    "requests_per_month": _sum,
    "input_tokens": _weighted(_requests),
    "output_tokens": _weighted(_requests),
    "cached_input_share": _weighted(_input),
    "batchable_share": _weighted(_requests),
    "hourly_shape": _week,
    "burstiness": _burstiness,
    "growth_per_month": _weighted(_requests),
    "prefix_hit_share": _weighted(_input),
    "ttft_p95_ms": _strictest,
    "tpot_p95_ms": _strictest,
    "today_ttft_p95_ms": _slowest,
    "today_tpot_p95_ms": _slowest,
    "privacy": _privacy,
    "quality_gate": _gate,
    "max_commitment_months": _strictest,
}


def _lengths(parts: Parts) -> Lengths | None:
    """Buckets of all, weighted by their requests; a part without any stands in one at its means. None without any."""
    if all(part.lengths is None for part in parts):
        return None
    total = sum(_requests(parts))
    mix = [
        bucket.model_copy(update={"weight": bucket.weight * requests / total})
        for part, requests in zip(parts, _requests(parts), strict=True)
        for bucket in (_at_its_means(part) if part.lengths is None else part.lengths.mix)
    ]
    told = (f"{part.name}: {part.lengths.source if part.lengths else 'its means only'}" for part in parts)
    return Lengths(
        source=f"merged from {'; '.join(told)}",
        requests=sum(part.lengths.requests for part in parts if part.lengths),
        input_percentiles={},
        output_percentiles={},
        mix=tuple(mix),
    )


def _at_its_means(part: NamedProfile) -> tuple[LengthBucket, ...]:
    input, output = (max(1, round(part.value(name))) for name in ("input_tokens", "output_tokens"))
    return (LengthBucket(input=input, output=output, weight=1.0),)
