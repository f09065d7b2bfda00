"""The two forms that begin a decision: what it is about, then which options to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from django import forms

from costadvisor.decisions.forms.fields import (
    QualityForm,
    RefusableForm,
    check_own_prices,
    own_price_fields,
    own_prices,
    privacy_field,
)
from costadvisor.decisions.proposals import Proposal
from costadvisor.decisions.selectors import Draft
from costadvisor.decisions.written import WrittenOption
from costadvisor.workloads.derive import billed_line
from costadvisor.workloads.models import Workload

ANOTHER = "another"


class StartForm(RefusableForm):
    """Its data stand in the address, so that the second form knows what it is about."""

    PATHS: ClassVar[Mapping[str, str]] = {"prices/": "input_usd_per_mtok", "prices": "model"}

    provider = forms.CharField(max_length=200, required=False, help_text="Such as openai. Of another API only.")
    model = forms.CharField(max_length=200, required=False, help_text="Such as gpt-4.1-mini. Of another API only.")
    field_order = ("workload", "today")

    def __init__(
        self, data: Any, *, workloads: Sequence[Workload], billed: Sequence[tuple[str, str]], about: str | None = None
    ) -> None:
        """`about`: the key of the workload to begin with, such as the one that was just picked; else the first."""
        super().__init__(data)
        self.workloads = {str(workload.pk): workload for workload in workloads}
        self.billed = list(billed)
        names = [(str(number), f"{provider} · {model}") for number, (provider, model) in enumerate(self.billed)]
        self.fields["workload"] = forms.ChoiceField(
            choices=[(key, workload.name) for key, workload in self.workloads.items()], initial=about
        )
        self.fields["today"] = forms.ChoiceField(
            label="What it runs on today",
            choices=[*names, (ANOTHER, "Another API")],
            widget=forms.RadioSelect,
            initial=self._line_of(self.workloads.get(about or next(iter(self.workloads), ""))),
        )
        self.fields |= own_price_fields()
        self.order_fields(self.field_order)

    def _line_of(self, workload: Workload | None) -> str:
        """The choice of what the workload runs on today: its own line of the bill, else the dearest."""
        own = None if workload is None else billed_line(workload.profile, self.billed)
        if own is not None:
            return str(self.billed.index(own))
        return "0" if self.billed else ANOTHER

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("today") == ANOTHER:
            for name in ("provider", "model"):
                if not data.get(name) and name not in self.errors:
                    self.add_error(name, "Say which API it is.")
        check_own_prices(self)

    @property
    def workload(self) -> Workload:
        return self.workloads[self.cleaned_data["workload"]]

    @property
    def provider_and_model(self) -> tuple[str, str]:
        data = self.cleaned_data
        if data["today"] == ANOTHER:
            return data["provider"].strip().lower(), data["model"].strip()
        return self.billed[int(data["today"])]

    @property
    def prices(self) -> Any:
        return own_prices(self.cleaned_data)


class CompareForm(QualityForm):
    """The options to compare. What today's provider commits to belongs here, where the requirements are known."""

    name = forms.CharField(max_length=120)
    privacy = privacy_field("What today's provider commits to", "Only what the contract says.")
    field_order = ("name", "options", "privacy")

    def __init__(self, data: Any, *, draft: Draft, name: str) -> None:
        super().__init__(data, gate=draft.gate, initial={"name": name})
        self.draft = draft
        self.proposals = {proposal.candidate.key: proposal for proposal in draft.proposals}
        self.fields["options"] = forms.MultipleChoiceField(
            label="Compare it with",
            choices=_by_kind(draft.proposals),
            widget=forms.CheckboxSelectMultiple,
            error_messages={"required": "Choose at least one option to compare with."},
            initial=[key for key, found in self.proposals.items() if found.suggested],
            help_text="From the catalog and your calibrations, sized for this workload. More can be added afterwards.",
        )
        self.order_fields(self.field_order)

    @property
    def today(self) -> WrittenOption:
        """Today's API with what was said of it."""
        option = self.draft.today.option
        said = {"privacy": self.cleaned_data["privacy"], "quality": self.quality(model=option["model"])}
        return replace(self.draft.today, option=option | said)

    @property
    def chosen(self) -> list[WrittenOption]:
        return [self.proposals[key].candidate.written for key in self.cleaned_data["options"]]


def _by_kind(found: Sequence[Proposal]) -> list[Any]:
    kinds: dict[str, list[tuple[str, str]]] = {}
    for proposal in found:
        kinds.setdefault(proposal.kind, []).append((proposal.candidate.key, f"{proposal.name}: {proposal.note}"))
    return list(kinds.items())
