"""Two records against each other: what differs, and whether their rates do. Pure.

Rates are only set against each other where the workload and the SLO are the same; otherwise it says why not.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.calibrate.capacity import monotone
from engine.calibrate.interpolate import monotone_curve
from engine.calibrate.record import Record
from engine.calibrate.record_derived import MaxRate
from engine.calibrate.record_parts import WorkloadAsked
from engine.calibrate.step_model import StepModel

SAME_MEAN = 0.05  # of mean lengths, where a workload's own lengths are unknown
NOT_LENGTHS = {"kind", "mean_input_tokens", "mean_output_tokens", "burstiness", "prefix_hit_share", "trace", "preset"}
COMMON_RATES = 5
PARTS = ("hardware", "software", "model", "engine", "workload", "slo")
PASSING = {"hardware.cpu.load_1m"}  # not the machine's own


@dataclass(frozen=True, slots=True)
class Difference:
    field: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Rate:
    """B's λ* over A's, with a 95 % interval from both records' own; `differ` when 1 lies outside it."""

    ratio: float
    low: float
    high: float

    @property
    def differ(self) -> bool:
        return not self.low <= 1 <= self.high


@dataclass(frozen=True, slots=True)
class CurveRow:
    """Both records' p95 latencies at one rate."""

    requests_per_s: float
    ttft_p95_ms: tuple[float, float]
    tpot_p95_ms: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`not_comparable` says why rates must not be set against each other; then `rate` is None and `curve` empty."""

    a: dict[str, Any]
    b: dict[str, Any]
    differences: tuple[Difference, ...]
    not_comparable: tuple[str, ...]
    rate: Rate | None
    coefficients: dict[str, tuple[float, float]]
    curve: tuple[CurveRow, ...]

    def to_json(self) -> str:
        differ = None if self.rate is None else self.rate.differ
        return json.dumps(asdict(self) | {"rates_differ": differ}, ensure_ascii=False, indent=2)


def compare(a: Record, b: Record) -> Comparison:
    reasons = tuple(_not_comparable(a, b))
    return Comparison(
        a=_identity(a),
        b=_identity(b),
        differences=tuple(_differences(a, b)),
        not_comparable=reasons,
        rate=None if reasons else _rate(a.derived.max_rate, b.derived.max_rate),
        coefficients=_coefficients(a, b),
        curve=() if reasons else tuple(_curves(a, b)),
    )


def _identity(record: Record) -> dict[str, Any]:
    rate, saturation = record.derived.max_rate, record.derived.saturation
    return {
        "sha256": record.sha256,
        "created_at": record.created_at,
        "tool": " ".join(filter(None, [record.source.tool, record.source.version])),
        "tier": record.tier,
        "grade": record.grade.letter,
        "basis": record.grade.basis,
        "minutes": sum(record.wall_s.values()) / 60 if record.wall_s else None,
        "requests_per_s": rate and rate.requests_per_s,
        "low": rate and rate.low,
        "high": rate and rate.high,
        "binding": record.derived.binding,
        "saturated_output_tokens_per_s": saturation and saturation.output_tokens_per_s,
    }


def _differences(a: Record, b: Record) -> Iterator[Difference]:
    flat = [dict(_flat(record.model_dump(mode="json", include=set(PARTS)), "")) for record in (a, b)]
    for field in sorted(flat[0].keys() | flat[1].keys(), key=_place):
        values = [side.get(field) for side in flat]
        if values[0] != values[1] and field not in PASSING:
            yield Difference(field, *values)


def _place(field: str) -> tuple[int, str]:
    return PARTS.index(field.partition(".")[0]), field


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Leaves by their dotted paths; an empty list or null is a leaf."""
    items: Mapping[Any, Any] | None = None
    if isinstance(value, dict):
        items = value
    elif isinstance(value, list):
        items = dict(enumerate(value))
    if not items:
        yield path, value
        return
    for key, item in items.items():
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _not_comparable(a: Record, b: Record) -> Iterator[str]:
    ours, theirs = a.workload, b.workload
    if not _same_lengths(ours, theirs):
        yield f"the lengths differ: {_lengths(ours)} against {_lengths(theirs)}"
    if ours.burstiness != theirs.burstiness:
        yield f"arrivals clump differently: burstiness {ours.burstiness} against {theirs.burstiness}"
    if ours.prefix_hit_share != theirs.prefix_hit_share:
        yield f"shared prefixes differ: {ours.prefix_hit_share} against {theirs.prefix_hit_share} of prompt tokens"
    for name in ("ttft_p95_ms", "tpot_p95_ms"):
        limits = [getattr(record.slo, name) for record in (a, b)]
        if limits[0] != limits[1]:
            yield f"the SLO differs: {name} {limits[0]:g} against {limits[1]:g}"


def _same_lengths(ours: WorkloadAsked, theirs: WorkloadAsked) -> bool:
    """The same means, and the same pairs, trace or distributions where both sides say which."""
    close = _near(ours.mean_input_tokens, theirs.mean_input_tokens) and _near(
        ours.mean_output_tokens, theirs.mean_output_tokens
    )
    given = [asked.model_dump(exclude=NOT_LENGTHS) for asked in (ours, theirs)]
    known = all(any(value is not None for value in lengths.values()) for lengths in given)
    return close and (not known or given[0] == given[1])


def _lengths(asked: WorkloadAsked) -> str:
    kind = f"trace {asked.trace}" if asked.trace else asked.kind
    return f"{asked.mean_input_tokens:.6g} in and {asked.mean_output_tokens:.6g} out ({kind})"


def _near(a: float, b: float) -> bool:
    return abs(math.log(a / b)) <= math.log(1 + SAME_MEAN)


def _rate(a: MaxRate | None, b: MaxRate | None) -> Rate | None:
    """Both intervals are taken as independent, in logarithms."""
    if a is None or b is None:
        return None
    ratio = b.requests_per_s / a.requests_per_s
    below = math.hypot(math.log(b.requests_per_s / b.low), math.log(a.high / a.requests_per_s))
    above = math.hypot(math.log(b.high / b.requests_per_s), math.log(a.requests_per_s / a.low))
    return Rate(ratio, ratio * math.exp(-below), ratio * math.exp(above))


def _coefficients(a: Record, b: Record) -> dict[str, tuple[float, float]]:
    fits = [record.derived.step_model for record in (a, b)]
    models = [StepModel.read(fit.coefficients) for fit in fits if fit is not None]
    if len(models) < len(fits):
        return {}
    ours, theirs = models
    terms = dict.fromkeys([*ours.coefficients, *theirs.coefficients])
    return {term: (_coefficient(ours, term), _coefficient(theirs, term)) for term in terms}


def _coefficient(model: StepModel, term: str) -> float:
    """One of the model's own, or of a bend that it does not have, the slope that goes straight on there."""
    while term not in model.coefficients:
        slope, knot = term.split("_")
        lower = [bend.knot for bend in model.bends if bend.knot < int(knot)]
        term = f"{slope}_{lower[-1]}" if lower else slope
    return model.coefficients[term]


def _curves(a: Record, b: Record) -> Iterator[CurveRow]:
    """At rates that both curves reach; nothing is extrapolated."""
    tops = [max((point.requests_per_s for point in record.derived.curve), default=0.0) for record in (a, b)]
    if not all(tops):
        return
    at = [[_latency(record, name) for record in (a, b)] for name in ("ttft_p95_ms", "tpot_p95_ms")]
    for number in range(COMMON_RATES + 1):
        rate = min(tops) * number / COMMON_RATES
        ttft, tpot = ((ours(rate), theirs(rate)) for ours, theirs in at)
        yield CurveRow(rate, ttft, tpot)


def _latency(record: Record, metric: str) -> Any:
    points = sorted({point.requests_per_s: point for point in record.derived.curve}.items())
    values = monotone([getattr(point, metric) for _, point in points])
    return monotone_curve([rate for rate, _ in points], values)
