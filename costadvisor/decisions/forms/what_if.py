"""The main assumptions as fields. The address holds those that differ from what is saved."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms

from costadvisor.decisions.what_if import Knob, bounds, knobs, shown, turned
from costadvisor.economics import Case, CaseError
from costadvisor.economics.quantities import LARGEST, Quantity


class WhatIfForm(forms.Form):
    """Bound to the saved values with the address's on top; an empty field is left as it is saved."""

    def __init__(self, query: Mapping[str, Any], *, case: Case) -> None:
        self.knobs = {knob.field: knob for knob in knobs(case)}
        saved = {field: shown(case, knob) for field, knob in self.knobs.items()}
        saved_texts = {field: format(value, "f") for field, value in saved.items() if value is not None}
        given = {field: query[field] for field in (*self.knobs, "as_of") if str(query.get(field, "")).strip()}
        super().__init__(saved_texts | {"as_of": case.as_of.isoformat()} | given, initial=saved | {"as_of": case.as_of})
        for field, knob in self.knobs.items():
            self.fields[field] = _number_field(knob, bounds(case, knob))
        self.fields["as_of"] = forms.DateField(
            label="Prices as of", required=False, widget=forms.DateInput(attrs={"type": "date"})
        )

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Fields by the heading they stand under."""
        found: dict[str, list[forms.BoundField]] = {}
        for field, knob in self.knobs.items():
            found.setdefault(knob.group, []).append(self[field])
        found["Time and prices"].append(self["as_of"])
        return list(found.items())

    @property
    def changes(self) -> dict[Knob, Decimal]:
        changed = {field: self.cleaned_data[field] for field in self.changed_data if field in self.knobs}
        return {self.knobs[field]: value for field, value in changed.items() if value is not None}

    @property
    def query(self) -> str:
        """What the address needs to say; empty where nothing differs from what is saved."""
        given = [field for field in self.changed_data if self.cleaned_data[field] is not None]
        return urlencode([(field, self.data[field]) for field in given])

    @property
    def told(self) -> str:
        """The changes in words."""
        changed = ((self.fields[field].label, self.cleaned_data[field]) for field in self.changed_data)
        said = (
            (label, f"{value:,f}" if isinstance(value, Decimal) else value)
            for label, value in changed
            if value is not None
        )
        return "; ".join(f"{label} {value}" for label, value in said)

    def case(self, saved: Mapping[str, Any], *, source: str) -> dict[str, Any]:
        """The saved case with what was changed."""
        changed = turned(saved, self.changes, source=source)
        if self.cleaned_data.get("as_of"):
            changed["as_of"] = self.cleaned_data["as_of"].isoformat()
        return changed

    def show(self, error: CaseError) -> None:
        """The error at the field that caused it, or on top."""
        if error.path == "/as_of":
            return self.add_error("as_of", f"{error.problem}; {error.remedy}")
        field = next((field for field, knob in self.knobs.items() if knob.touches(error.path)), None)
        return self.add_error(field, f"This {error.problem}; {error.remedy}." if field else str(error))


def _number_field(knob: Knob, allowed: Quantity | None) -> forms.DecimalField:
    low = None if allowed is None or allowed.low is None else Decimal(allowed.low * knob.scale)
    high = None if allowed is None or allowed.high == LARGEST else Decimal(allowed.high * knob.scale)
    return forms.DecimalField(
        label=knob.label,
        required=False,
        min_value=low,
        max_value=high,
        max_digits=24,
        decimal_places=9,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
