"""Options that are bought as an API: by the token, from an open model's host, or in units of throughput."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from costadvisor.catalog.snapshot import snapshot
from costadvisor.decisions import candidates
from costadvisor.decisions.forms.fields import check_own_prices, privacy_field
from costadvisor.decisions.forms.options import CONTRACT, Number, OptionForm
from costadvisor.decisions.forms.places import Place
from costadvisor.decisions.written import WrittenOption, published_quality

PRICES = "Prices of your own contract"
LIST_PRICE = "Left empty, the list price of the catalog."
SPEED = "Speed and limits"
SPEED_NUMBERS = {
    "ttft_p95_ms": Number("Time to first token, 95 % of requests, ms", "latency/ttft_p95_ms", "Stated or observed."),
    "tpot_p95_ms": Number("Time per output token, 95 % of requests, ms", "latency/tpot_p95_ms", "Stated or observed."),
}


class ApiForm(OptionForm):
    title = "Another API"
    intro = "A model of a provider, at its list price or at your contract's."
    PATHS: ClassVar[Mapping[str, str]] = {"prices/": "input_usd_per_mtok", "prices": "model"}
    STEM: ClassVar[Mapping[str, Any]] = {"kind": "api"}
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {
        PRICES: ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok", "reconciliation_factor"),
        SPEED: ("ttft_p95_ms", "tpot_p95_ms", "rate_limit_requests_per_s"),
    }
    FOLDED = (PRICES, SPEED)
    PLACES: ClassVar[Mapping[str, Place]] = {"provider": Place("provider"), "model": Place("model")}
    NUMBERS: ClassVar[Mapping[str, Number]] = {
        "input_usd_per_mtok": Number("Input, USD per million tokens", "prices/input_usd_per_mtok", LIST_PRICE),
        "cached_input_usd_per_mtok": Number(
            "Cached input, USD per million tokens",
            "prices/cached_input_usd_per_mtok",
            "Without a cache discount, the input price.",
        ),
        "output_usd_per_mtok": Number("Output, USD per million tokens", "prices/output_usd_per_mtok", LIST_PRICE),
        "reconciliation_factor": Number(
            "Billed over list price (k)", "reconciliation_factor", "0.9 is a bill a tenth below list."
        ),
        **SPEED_NUMBERS,
        "rate_limit_requests_per_s": Number("Rate limit, requests a second", "rate_limit_requests_per_s"),
    }

    provider = forms.CharField(max_length=200, help_text="Such as openai, anthropic or google.")
    model = forms.CharField(max_length=200, help_text="As the provider calls it, such as gpt-4.1-nano.")
    privacy = privacy_field("What the provider commits to", CONTRACT)

    def clean_provider(self) -> str:
        return str(self.cleaned_data["provider"]).strip().lower()

    def clean_model(self) -> str:
        return str(self.cleaned_data["model"]).strip()

    def clean(self) -> None:
        check_own_prices(self)
        data = self.cleaned_data
        if data.get("input_usd_per_mtok") is not None and data.get("cached_input_usd_per_mtok") is None:
            data["cached_input_usd_per_mtok"] = data["input_usd_per_mtok"]

    def written(self, source: str) -> WrittenOption:
        found = super().written(source)
        option, evidence = dict(found.option), dict(found.evidence)
        if self.cleaned_data["input_usd_per_mtok"] is None and option.pop("prices", None) is not None:
            evidence.pop("prices", None)
        elif "input_usd_per_mtok" in self.changed_data:
            option["prices"]["cached_input_usd_per_mtok"] = format(self.cleaned_data["cached_input_usd_per_mtok"], "f")
        if "model" in self.changed_data and "quality_percent" not in self.changed_data:
            option["quality"] = published_quality(snapshot().quality_scores, model=option["model"])
            evidence.pop("quality", None)
        return WrittenOption(option, evidence)


class HostForm(OptionForm):
    title = "A host of an open model"
    intro = "Somebody else serves the weights that you could serve yourselves; often the cheapest way to them."
    PATHS: ClassVar[Mapping[str, str]] = {"prices": "host"}
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {SPEED: ("ttft_p95_ms", "tpot_p95_ms", "rate_limit_requests_per_s")}
    FOLDED = (SPEED,)
    NUMBERS: ClassVar[Mapping[str, Number]] = {
        **SPEED_NUMBERS,
        "rate_limit_requests_per_s": Number("Rate limit, requests a second", "rate_limit_requests_per_s"),
    }

    host = forms.ChoiceField(label="Model and host")
    privacy = privacy_field("What the host commits to", CONTRACT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = {candidate.key: candidate for candidate in candidates.hosts()}
        self.fields["host"] = forms.ChoiceField(
            label="Model and host",
            choices=[(key, found.label) for key, found in self.known.items()],
            initial=None if self.option is None else host_key(self.option),
        )
        self.order_fields(["host", "privacy"])

    def stem(self, source: str) -> WrittenOption:
        stored = self.stored()
        if stored is not None and "host" not in self.changed_data:
            return stored
        found = self.known[self.cleaned_data["host"]].written
        kept = {} if stored is None else {key: stored.option[key] for key in ("latency",) if key in stored.option}
        return WrittenOption(dict(found.option) | kept, found.evidence)


def host_key(option: Mapping[str, Any]) -> str:
    """Of an API as the catalog's hosts are named."""
    return f"host:{option['provider']}:{option['model']}"


class ProvisionedForm(OptionForm):
    title = "Provisioned throughput"
    intro = "Units of a provider's capacity, paid by the hour whether they are used or not."
    STEM: ClassVar[Mapping[str, Any]] = {"kind": "provisioned"}
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {SPEED: tuple(SPEED_NUMBERS)}
    FOLDED = (SPEED,)
    PLACES: ClassVar[Mapping[str, Place]] = {"provider": Place("provider"), "model": Place("model")}
    NUMBERS: ClassVar[Mapping[str, Number]] = {
        "usd_per_unit_hour": Number(
            "Price of a unit, USD an hour", "usd_per_unit_hour", "Of the provider's quote.", required=True
        ),
        "requests_per_s_per_unit": Number(
            "Requests a second that a unit serves",
            "requests_per_s_per_unit",
            "At this workload's lengths, by the provider's calculator; it counts as grade D, 0.4 to 1.2 times.",
            required=True,
        ),
        "min_units": Number("Fewest units that can be bought", "min_units"),
        "commitment_months": Number("Commitment, months", "commitment_months", "0 is by the hour."),
        **SPEED_NUMBERS,
    }

    provider = forms.CharField(max_length=200, help_text="Such as azure, aws or google.")
    model = forms.CharField(max_length=200, help_text="Such as gpt-4.1-mini.")
    privacy = privacy_field("What the provider commits to", CONTRACT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["provider", "model", *self.NUMBERS, "privacy"])

    def stem(self, source: str) -> WrittenOption:
        stem = super().stem(source)
        if "model" not in self.changed_data:
            return stem
        scores = published_quality(snapshot().quality_scores, model=self.cleaned_data["model"])
        return WrittenOption(stem.option | ({"quality": scores} if scores else {}), stem.evidence)
