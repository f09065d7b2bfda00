"""The form of a workload. People write percent and pick presets; a profile keeps shares and numbers."""

from typing import Any

from django import forms
from django.http import QueryDict

from costadvisor.common.digits import six_digits
from costadvisor.workloads.profile import Figure, PeakToMean, Profile, QualityGate, assumed, stated
from engine.calibrate.slo import PRESETS

PRIVACY_CHOICES = [
    ("no_training", "Our data is not used for training"),
    ("zero_retention", "Nothing is kept after the answer"),
    ("in_region", "Data stays in our region"),
    ("own_vpc", "Runs in our own cloud account"),
    ("on_prem", "Runs on our own premises"),
]
# A figure, the form field that shows it, and how many of the form's units make one of the profile's.
_NUMBERS = {
    "requests_per_month": ("requests_per_month", 1),
    "input_tokens": ("input_tokens", 1),
    "output_tokens": ("output_tokens", 1),
    "cached_input_share": ("cached_input_percent", 100),
    "batchable_share": ("batchable_percent", 100),
    "burstiness": ("burstiness", 1),
    "growth_per_month": ("growth_percent_per_month", 100),
    "prefix_hit_share": ("prefix_hit_percent", 100),
    "ttft_p95_ms": ("ttft_p95_ms", 1),
    "tpot_p95_ms": ("tpot_p95_ms", 1),
    "today_ttft_p95_ms": ("today_ttft_p95_ms", 1),
    "today_tpot_p95_ms": ("today_tpot_p95_ms", 1),
}


class NameForm(forms.Form):
    name = forms.CharField(max_length=120, help_text="What the team calls it, such as Support assistant.")


class WorkloadForm(NameForm):
    requests_per_month = forms.FloatField(min_value=1, max_value=1e12)
    input_tokens = forms.FloatField(label="Input tokens per request", min_value=1, max_value=1e7, help_text="Mean.")
    output_tokens = forms.FloatField(label="Output tokens per request", min_value=1, max_value=1e7, help_text="Mean.")
    cached_input_percent = forms.FloatField(
        label="Cached input, %",
        min_value=0,
        max_value=100,
        help_text="Share of input tokens that the provider serves from its prompt cache.",
    )
    batchable_percent = forms.FloatField(
        label="Can wait a day, %", min_value=0, max_value=100, help_text="Share of requests that may take 24 hours."
    )
    prefix_hit_percent = forms.FloatField(
        label="Shared beginnings, %",
        min_value=0,
        max_value=99.9,
        required=False,
        help_text="Share of input that a warm prefix cache of your own would find, such as a system prompt's. A"
        " calibration sends prompts that share as much. The provider's cached share is a hint: its cache finds less.",
    )
    growth_percent_per_month = forms.FloatField(label="Growth per month, %", min_value=-99, max_value=100)
    hourly_shape = forms.ChoiceField(label="Shape of the week", choices=[], widget=forms.RadioSelect)
    peak_to_mean = forms.FloatField(
        label="Busiest hour against the mean hour",
        min_value=1,
        max_value=24,
        required=False,
        help_text="Such as 2.2. Whole providers see about 2, a single client 5 and more.",
    )
    burstiness = forms.FloatField(
        min_value=0.01,
        max_value=100,
        help_text="1 is independent arrivals (Poisson); below 1, requests come in bursts.",
    )
    slo_preset = forms.ChoiceField(
        label="Latency target",
        required=False,
        choices=[("", "The numbers below")]
        + [
            (key, f"{preset.label}: {preset.ttft_p95_ms:g} / {preset.tpot_p95_ms:g} ms")
            for key, preset in PRESETS.items()
        ],
        help_text="95 % of requests: time to first token / time per output token. A preset replaces the numbers below.",
    )
    ttft_p95_ms = forms.FloatField(label="Time to first token, p95, ms", min_value=1, max_value=1e7)
    tpot_p95_ms = forms.FloatField(label="Time per output token, p95, ms", min_value=1, max_value=1e7)
    today_ttft_p95_ms = forms.FloatField(
        label="Today's time to first token, p95, ms", min_value=0.001, max_value=1e7, required=False
    )
    today_tpot_p95_ms = forms.FloatField(
        label="Today's time per output token, p95, ms", min_value=0.001, max_value=1e7, required=False
    )
    privacy = forms.MultipleChoiceField(
        label="Privacy that every option must offer",
        choices=PRIVACY_CHOICES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    quality_measure = forms.CharField(
        label="Quality measure", max_length=80, required=False, help_text="Such as MMLU-Pro; empty for no gate."
    )
    quality_reference = forms.CharField(
        label="As good as",
        max_length=80,
        required=False,
        help_text="The option to compare with; “today” is today's API.",
    )
    quality_margin_percent = forms.FloatField(
        label="But for at most, percentage points", min_value=0, max_value=100, required=False
    )
    max_commitment_months = forms.IntegerField(
        label="Longest commitment, months",
        min_value=0,
        max_value=120,
        required=False,
        help_text="Empty for no limit.",
    )

    def __init__(self, data: QueryDict | None = None, *, profile: Profile | None = None, name: str = "") -> None:
        initial = _defaults() if profile is None else _initial(profile)
        super().__init__(data, initial={"name": name} | initial)
        shapes = [("flat", "The same all week"), ("peak", "Every day alike, with a busiest hour")]
        if initial["hourly_shape"] == "week":
            shapes.append(("week", "As measured, hour by hour"))
        self.fields["hourly_shape"] = forms.ChoiceField(
            label="Shape of the week", choices=shapes, widget=forms.RadioSelect
        )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("hourly_shape") == "peak" and not data.get("peak_to_mean"):
            self.add_error("peak_to_mean", "Say how many times the mean hour the busiest hour is, such as 2.2.")
        if data.get("quality_measure"):
            for field, right in (("quality_reference", "today"), ("quality_margin_percent", "2")):
                if data.get(field) in (None, ""):
                    self.add_error(field, f"A quality measure needs this too, such as {right}.")
        return data

    def figures(self, source: str) -> dict[str, Figure[Any]]:
        """The figures that the person changed, as stated by them."""
        data, changed = self.cleaned_data, set(self.changed_data)
        values = {
            figure: _unscaled(figure, data[field], scale)
            for figure, (field, scale) in _NUMBERS.items()
            if field in changed
        } | _preset(data)
        if changed & {"hourly_shape", "peak_to_mean"} and data["hourly_shape"] != "week":
            values["hourly_shape"] = _shape(data)
        if changed & {"quality_measure", "quality_reference", "quality_margin_percent"}:
            values["quality_gate"] = _gate(data)
        for figure in changed & {"privacy", "max_commitment_months"}:
            values[figure] = data[figure]
        return {figure: stated(value, source) for figure, value in values.items()}


def _unscaled(figure: str, value: float | None, scale: int) -> float | None:
    """An empty field means that nobody knows a latency, and that nothing is shared."""
    if value is None:
        return None if figure.startswith("today_") else 0.0
    return value / scale


def _preset(data: dict[str, Any]) -> dict[str, Any]:
    preset = PRESETS.get(data["slo_preset"])
    return {} if preset is None else {"ttft_p95_ms": preset.ttft_p95_ms, "tpot_p95_ms": preset.tpot_p95_ms}


def _shape(data: dict[str, Any]) -> Any:
    return PeakToMean(peak_to_mean=data["peak_to_mean"]) if data["hourly_shape"] == "peak" else "flat"


def _gate(data: dict[str, Any]) -> QualityGate | None:
    if not data["quality_measure"]:
        return None
    return QualityGate(
        measure=data["quality_measure"],
        reference=data["quality_reference"],
        margin=data["quality_margin_percent"] / 100,
    )


def _defaults() -> dict[str, Any]:
    """What the form of a new workload starts with; volume and lengths have no default."""
    nothing_known = Profile(requests_per_month=assumed(1.0), input_tokens=assumed(1.0), output_tokens=assumed(1.0))
    required = {"requests_per_month", "input_tokens", "output_tokens"}
    return {field: value for field, value in _initial(nothing_known).items() if field not in required}


def _initial(profile: Profile) -> dict[str, Any]:
    """A profile as the form shows it. Numbers are rounded for reading: a field left alone keeps its exact figure."""
    numbers = {field: _scaled(getattr(profile, name).value, scale) for name, (field, scale) in _NUMBERS.items()}
    shape, gate = profile.hourly_shape.value, profile.quality_gate.value
    peak = shape.peak_to_mean if isinstance(shape, PeakToMean) else None
    return numbers | {
        "hourly_shape": "flat" if shape == "flat" else "week" if peak is None else "peak",
        "peak_to_mean": peak,
        "privacy": list(profile.privacy.value),
        "quality_measure": gate.measure if gate else "",
        "quality_reference": gate.reference if gate else "today",
        "quality_margin_percent": _readable(gate.margin * 100) if gate else None,
        "max_commitment_months": profile.max_commitment_months.value,
    }


def _scaled(value: float | None, scale: int) -> float | None:
    return None if value is None else _readable(value * scale)


def _readable(number: float) -> float:
    rounded = six_digits(number)
    return int(rounded) if rounded.is_integer() else rounded
