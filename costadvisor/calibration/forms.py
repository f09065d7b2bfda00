"""Forms of the calibration pages."""

from decimal import Decimal
from typing import Any

from django import forms

from costadvisor.calibration.models import CalibrationJob, Device, Tier
from costadvisor.calibration.services.jobs import MOST_MINUTES, JobSpec

COPIED = ("model_name", "device", "tier", "max_minutes", "usd_per_hour", "provider", "region", "budget_usd")


class JobForm(forms.Form):
    workload = forms.ChoiceField(
        help_text="Its lengths, bursts and shared beginnings are what is sent; its latency target is what must be met."
    )
    model_name = forms.ChoiceField(label="Model")
    device = forms.ChoiceField(label="Hardware", choices=Device.choices)
    tier = forms.ChoiceField(
        label="How thorough",
        choices=Tier.choices,
        help_text="A quick one is for a first look. Decide on a standard or a careful one.",
    )
    max_minutes = forms.FloatField(
        label="Time limit, minutes",
        min_value=1,
        max_value=MOST_MINUTES,
        required=False,
        help_text="The levels are planned to take three quarters of it. Empty for what is usual: "
        + ", ".join(f"{tier.usual_minutes:g} ({tier.value})" for tier in Tier)
        + ".",
    )
    provider = forms.CharField(
        label="Rented from", max_length=120, required=False, help_text="Such as Lambda; empty for your own machine."
    )
    region = forms.CharField(max_length=120, required=False)
    usd_per_hour = forms.DecimalField(
        label="Price of the machine, $ per hour",
        min_value=Decimal(0),
        max_value=Decimal(10_000),
        max_digits=12,
        decimal_places=6,
        required=False,
        help_text="Empty if it is not known: then no cost is shown.",
    )
    budget_usd = forms.DecimalField(
        label="Cap on the cost, $",
        min_value=Decimal(0),
        max_value=Decimal(1_000_000),
        max_digits=12,
        decimal_places=2,
        required=False,
        help_text="Over all attempts together; needs a price. Empty for no cap.",
    )

    def __init__(self, *args: Any, workloads: list[tuple[int, str]], models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["workload"] = _choice(self.fields["workload"], [(str(key), name) for key, name in workloads])
        self.fields["model_name"] = _choice(self.fields["model_name"], [(name, name) for name in models])

    @property
    def workload_id(self) -> int:
        return int(self.cleaned_data["workload"])

    def spec(self) -> JobSpec:
        chosen = {name: self.cleaned_data[name] for name in COPIED}
        tier = Tier(chosen["tier"])
        chosen["max_minutes"] = chosen["max_minutes"] or tier.usual_minutes
        return JobSpec(**chosen | {"device": Device(chosen["device"]), "tier": tier})


def initial_from(job: CalibrationJob) -> dict[str, Any]:
    """The answers of an earlier job."""
    answers = {name: getattr(job, name) for name in COPIED}
    for amount in ("usd_per_hour", "budget_usd"):
        if answers[amount] is not None:
            answers[amount] = answers[amount].normalize().__format__("f")
    return answers | {"workload": job.workload_id}


def _choice(field: forms.Field, choices: list[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(label=field.label, help_text=field.help_text, choices=choices)
