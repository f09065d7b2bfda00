"""One form for each kind of option that can be added to a decision."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from costadvisor.catalog.snapshot import snapshot
from costadvisor.decisions import candidates
from costadvisor.decisions.candidates import RENTED_PRIVACY, Candidate
from costadvisor.decisions.forms.fields import (
    QualityForm,
    check_own_prices,
    own_price_fields,
    own_prices,
    price_field,
    privacy_field,
)
from costadvisor.decisions.written import WrittenOption, api_option, published_quality, rented_as_typed, rented_option
from engine.calibrate.record import Record

TYPED = "typed"
CONTRACT = "Only what the contract says."


class OptionForm(QualityForm):
    """What the forms of all kinds share. Each adds `written(source)`: the option, with who typed it."""

    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {}
    title: ClassVar[str]
    intro: ClassVar[str]

    def __init__(self, *args: Any, records: Iterable[Record], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.records = records

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Fields by the heading they stand under; each stands under one, the rest under none."""
        grouped = [(legend, [self[name] for name in names]) for legend, names in self.GROUPS.items()]
        named = {name for names in self.GROUPS.values() for name in names}
        return [("", [field for field in self if field.name not in named]), *grouped]


class ApiForm(OptionForm):
    title = "Another API"
    intro = "A model of a provider, at its list price or at your contract's."
    PATHS: ClassVar[Mapping[str, str]] = {"prices/": "input_usd_per_mtok", "prices": "model"}

    provider = forms.CharField(max_length=200, help_text="Such as openai, anthropic or google.")
    model = forms.CharField(max_length=200, help_text="As the provider calls it, such as gpt-4.1-nano.")
    privacy = privacy_field("What the provider commits to", CONTRACT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields |= own_price_fields()

    def clean(self) -> None:
        check_own_prices(self)

    def written(self, source: str) -> WrittenOption:
        data = self.cleaned_data
        return api_option(
            provider=data["provider"].strip().lower(),
            model=data["model"].strip(),
            privacy=data["privacy"],
            quality=self.quality(model=data["model"].strip()),
            prices=own_prices(data),
            source=source,
        )


class HostForm(OptionForm):
    title = "A host of an open model"
    intro = "Somebody else serves the weights that you could serve yourselves; often the cheapest way to them."
    PATHS: ClassVar[Mapping[str, str]] = {"prices": "host"}

    host = forms.ChoiceField(label="Model and host")
    privacy = privacy_field("What the host commits to", CONTRACT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = {candidate.key: candidate for candidate in candidates.hosts()}
        self.fields["host"] = forms.ChoiceField(
            label="Model and host", choices=[(key, found.label) for key, found in self.known.items()]
        )

    def written(self, source: str) -> WrittenOption:
        found = self.known[self.cleaned_data["host"]]
        return api_option(
            provider=found.written.option["provider"],
            model=found.written.option["model"],
            open_weights=True,
            privacy=self.cleaned_data["privacy"],
            quality=self.quality(model=found.model),
            source=source,
        )


class FleetForm(OptionForm):
    title = "Self-hosted on rented GPUs"
    intro = "The throughput of one replica decides: measured by you, published by somebody, or assumed."
    PATHS: ClassVar[Mapping[str, str]] = {
        "capacity/record": "measurement",
        "capacity": "rate",
        "hardware/usd_per_hour": "usd_per_hour",
        "hardware/gpus_per_replica": "gpus_per_replica",
        "model": "model",
        "scaling/cold_start_s": "cold_start_s",
    }
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {
        "A typed rate": ("model", "gpu", "gpus_per_replica", "rate", "rate_unit")
    }
    field_order = ("measurement", "usd_per_hour", "policy", "cold_start_s", "privacy")

    measurement = forms.ChoiceField(label="Throughput of one replica")
    model = forms.CharField(
        max_length=200, required=False, help_text="A measurement says its own model and GPU; leave these empty then."
    )
    gpu = forms.ChoiceField(label="GPU", required=False)
    gpus_per_replica = forms.IntegerField(label="GPUs per replica", min_value=1, max_value=64, required=False)
    rate = forms.FloatField(label="Typed rate", min_value=0, max_value=1e9, required=False)
    rate_unit = forms.ChoiceField(
        label="Unit of the typed rate",
        required=False,
        choices=[
            ("requests_per_s", "requests a second, inside the latency target"),
            ("tokens_per_s", "tokens a second, input and output together"),
        ],
    )
    usd_per_hour = price_field("Price of a replica-hour, USD", "All its GPUs. Left empty, the median of known offers.")
    policy = forms.ChoiceField(
        label="Size of the fleet",
        choices=[("fixed", "For the busiest hour, all week"), ("scheduled", "Following the week, hour by hour")],
        widget=forms.RadioSelect,
        initial="fixed",
    )
    cold_start_s = forms.FloatField(
        label="Seconds until a new replica serves", min_value=0, max_value=86_400, initial=120
    )
    privacy = privacy_field("What this hosting gives", "Rented in your own cloud account and region, as a rule.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own, published = candidates.measured(self.records), candidates.published()
        self.known: dict[str, Candidate] = {found.key: found for found in (*own, *published)}
        groups: list[Any] = [("Published measurements", [(found.key, found.label) for found in published])]
        if own:
            groups.insert(0, ("Your own calibrations", [(found.key, found.label) for found in own]))
        self.fields["measurement"] = forms.ChoiceField(
            label="Throughput of one replica",
            choices=[*groups, ("Your own word", [(TYPED, "The typed rate below; it counts as assumed")])],
            widget=forms.RadioSelect,
        )
        gpus = sorted({offer.gpu for offer in snapshot().gpu_offers})
        self.fields["gpu"] = forms.ChoiceField(label="GPU", required=False, choices=[(gpu, gpu) for gpu in gpus])
        self.fields["privacy"].initial = list(RENTED_PRIVACY)
        self.order_fields(self.field_order)

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("measurement") == TYPED:
            for name in ("model", "gpu", "gpus_per_replica", "rate"):
                if data.get(name) in (None, "") and name not in self.errors:
                    self.add_error(name, "A typed rate needs this too.")

    def written(self, source: str) -> WrittenOption:
        data = self.cleaned_data
        found = self.known.get(data["measurement"])
        served = self._typed(source) if found is None else found.written
        return rented_as_typed(
            served,
            usd_per_hour=data["usd_per_hour"],
            scaling={"policy": data["policy"], "cold_start_s": data["cold_start_s"]},
            privacy=data["privacy"],
            quality=self.quality_typed_over(served.option.get("quality", [])),
            source=source,
        )

    def _typed(self, source: str) -> WrittenOption:
        data = self.cleaned_data
        model = data["model"].strip()
        return rented_option(
            model=model,
            gpu=data["gpu"],
            gpus_per_replica=data["gpus_per_replica"],
            capacity={data["rate_unit"] or "requests_per_s": data["rate"]},
            quality=published_quality(snapshot().quality_scores, model=model),
            source=source,
        )


OPTION_FORMS: dict[str, type[ApiForm] | type[HostForm] | type[FleetForm]] = {
    "api": ApiForm,
    "host": HostForm,
    "rented": FleetForm,
}
