"""Forms of the pages that derive workloads: from the bill, a trace, a table of rates, other workloads."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django import forms

from costadvisor.spend.parts import SPLITS, By, Part
from costadvisor.workloads.forms.described import NameForm
from costadvisor.workloads.merge import MOST_PARTS
from costadvisor.workloads.profile import Figure, stated

SPLIT_NAMES: dict[By, str] = {
    "model": "By provider and model",
    "project": "By project, workspace or team too",
    "key": "By key or tag too",
}
TOGETHER = [("together", "One workload of all that are chosen"), ("each", "A workload of each")]


class FromSpendForm(NameForm):
    together = forms.ChoiceField(
        label="Several parts become", choices=TOGETHER, initial="together", required=False, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, parts: Sequence[Part], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = {_key(part): part for part in parts}
        offered = [(key, part.name) for key, part in self.offered.items()]
        self.fields["parts"] = forms.MultipleChoiceField(
            label="Parts of the bill",
            choices=offered,
            widget=forms.CheckboxSelectMultiple,
            error_messages={"required": "Choose at least one part of the bill."},
        )
        self.order_fields(["name", "parts", "together"])

    @property
    def chosen(self) -> list[Part]:
        return [self.offered[key] for key in self.cleaned_data["parts"]]

    @property
    def is_together(self) -> bool:
        return bool(self.cleaned_data["together"] != "each")

    def clean_parts(self) -> list[str]:
        chosen: list[str] = self.cleaned_data["parts"]
        if len(chosen) > MOST_PARTS:
            raise forms.ValidationError(f"Choose at most {MOST_PARTS} parts; there are {len(chosen)}.")
        return chosen


class TraceForm(forms.Form):
    trace = forms.FileField(
        label="Trace file",
        help_text="Azure CSV (TIMESTAMP,ContextTokens,GeneratedTokens) or Mooncake JSON lines, up to 16 MiB.",
    )


class FromTraceForm(NameForm, TraceForm):
    requests_per_month = forms.FloatField(
        min_value=1, max_value=1e12, help_text="A trace shows an hour or a day; how many requests does a month bring?"
    )
    field_order = ("name", "trace", "requests_per_month")


class FromSeriesForm(NameForm):
    rates = forms.FileField(
        label="Table of rates",
        help_text="CSV with t_seconds,requests_per_second_all_clients in evenly spaced rows, as ServeGen has them.",
    )
    lengths = forms.FileField(
        label="Table of lengths",
        required=False,
        help_text="CSV with t_seconds,mean_input_tokens,mean_output_tokens,requests_covered.",
    )
    input_tokens = forms.FloatField(
        label="Input tokens per request", min_value=1, max_value=1e7, required=False, help_text="Without that table."
    )
    output_tokens = forms.FloatField(
        label="Output tokens per request", min_value=1, max_value=1e7, required=False, help_text="Without that table."
    )
    began_at = forms.DateTimeField(
        label="When second 0 was, UTC",
        required=False,
        input_formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"],
        error_messages={"invalid": "Write a day and a time, such as 2026-10-05 00:00."},
        help_text="Such as 2026-10-05 00:00. Empty if nobody knows: then the hours of the week stay unknown.",
    )

    def typed(self, source: str) -> dict[str, Figure[Any]]:
        values = {name: self.cleaned_data[name] for name in ("input_tokens", "output_tokens")}
        return {name: stated(value, source) for name, value in values.items() if value is not None}

    @property
    def moment(self) -> datetime | None:
        given: datetime | None = self.cleaned_data["began_at"]
        return None if given is None else given.replace(tzinfo=UTC)


class MergeForm(NameForm):
    remove = forms.BooleanField(
        label="Remove the workloads it was merged from",
        required=False,
        help_text="Decisions and calibrations made of them keep their copies.",
    )

    def __init__(self, *args: Any, workloads: Iterable[tuple[int, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["workloads"] = forms.MultipleChoiceField(
            label="Workloads to merge",
            choices=[(str(key), name) for key, name in workloads],
            widget=forms.CheckboxSelectMultiple,
            error_messages={"required": f"Choose 2 to {MOST_PARTS} workloads to merge."},
        )
        self.order_fields(["workloads", "name", "remove"])

    @property
    def ids(self) -> list[int]:
        return [int(key) for key in self.cleaned_data["workloads"]]


def split_wanted(text: str) -> By:
    """The split that an address asks for; by model for any other word."""
    return next((by for by in SPLITS if by == text), "model")


def _key(part: Part) -> str:
    """Names a part whatever is imported meanwhile."""
    return json.dumps([part.provider, part.model, part.scope])
