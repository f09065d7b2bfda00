"""A profile as its page shows it: rows of figures, and the week as a heat map. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from costadvisor.common.templatetags.figures import percent, quantity
from costadvisor.workloads.profile import DEFAULT, Figure, HourlyShape, PeakToMean, Profile, QualityGate

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HEAT_LEVELS = 6
_KNOWN_BY_LOGS = ("today_ttft_p95_ms", "today_tpot_p95_ms")


@dataclass(frozen=True)
class FigureRow:
    label: str
    value: str
    basis: str
    source: str


@dataclass(frozen=True)
class HeatCell:
    """An hour's weight against the mean hour, and its shade from 0 to HEAT_LEVELS - 1."""

    weight: str
    level: int


@dataclass(frozen=True)
class HeatMap:
    """Rows are hours of the day (UTC), columns the days of the week."""

    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]
    sentence: str


def figure_rows(profile: Profile) -> Iterator[FigureRow]:
    for field, label, shown in _FIGURES:
        figure = getattr(profile, field)
        if figure.source == DEFAULT and figure.value is None and field in _KNOWN_BY_LOGS:
            yield FigureRow(label, shown(None), "unknown", "no log of requests says")
            continue
        source = "our default" if figure.source == DEFAULT else figure.source
        yield FigureRow(label, shown(figure.value) + _interval(figure, shown), figure.basis, source)


def _interval(figure: Figure[Any], shown: Callable[[Any], str]) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" (90 % interval {shown(figure.low)} to {shown(figure.high)})"


def heat_map(shape: HourlyShape) -> HeatMap | None:
    """None unless the shape is known hour by hour."""
    if not isinstance(shape, tuple):
        return None
    hours = sorted(range(len(shape)), key=lambda hour: shape[hour])
    peak, low = hours[-1], hours[0]
    rows = tuple(
        (f"{hour:02d}:00", tuple(_cell(shape[day * 24 + hour], shape[peak]) for day in range(7))) for hour in range(24)
    )
    sentence = (
        f"The busiest hour is {_hour_name(peak)} with {shape[peak]:.2g} times the mean hour,"
        f" the quietest {_hour_name(low)} with {shape[low]:.2g}."
    )
    return HeatMap(rows, sentence)


def _cell(weight: float, peak: float) -> HeatCell:
    return HeatCell(f"{weight:.1f}", min(int(weight / peak * HEAT_LEVELS), HEAT_LEVELS - 1))


def _hour_name(hour: int) -> str:
    return f"{DAYS[hour // 24]} {hour % 24:02d}:00 UTC"


def _tokens(value: float) -> str:
    return f"{quantity(value)} tokens per request"


def _milliseconds(value: float | None) -> str:
    return "not known" if value is None else f"{quantity(value)} ms"


def _shape_text(shape: HourlyShape) -> str:
    if isinstance(shape, PeakToMean):
        return f"every day alike, busiest hour {shape.peak_to_mean:g} × the mean"
    return "the same all week" if shape == "flat" else f"by the hour, busiest {max(shape):.2g} × the mean"


def _burstiness_text(value: float) -> str:
    nature = "independent arrivals" if value == 1 else "burstier than independent" if value < 1 else "steadier"
    return f"{value:.2g} ({nature})"


def _gate_text(gate: QualityGate | None) -> str:
    if gate is None:
        return "none set"
    return f"{gate.measure} within {gate.margin * 100:g} percentage points of {gate.reference}"


def _privacy_text(required: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in required) or "none required"


def _commitment_text(months: int | None) -> str:
    return "no limit" if months is None else f"at most {months} months"


_FIGURES: tuple[tuple[str, str, Any], ...] = (
    ("requests_per_month", "Requests per month", quantity),
    ("input_tokens", "Input", _tokens),
    ("output_tokens", "Output", _tokens),
    ("cached_input_share", "Cached share of input", percent),
    ("batchable_share", "Can wait a day", percent),
    ("growth_per_month", "Growth per month", percent),
    ("hourly_shape", "Shape of the week", _shape_text),
    ("burstiness", "Burstiness", _burstiness_text),
    ("prefix_hit_share", "Shared beginnings of input", percent),
    ("ttft_p95_ms", "Time to first token, p95, wanted", _milliseconds),
    ("tpot_p95_ms", "Time per output token, p95, wanted", _milliseconds),
    ("today_ttft_p95_ms", "Time to first token, p95, today", _milliseconds),
    ("today_tpot_p95_ms", "Time per output token, p95, today", _milliseconds),
    ("privacy", "Privacy", _privacy_text),
    ("quality_gate", "Quality gate", _gate_text),
    ("max_commitment_months", "Longest commitment", _commitment_text),
)
