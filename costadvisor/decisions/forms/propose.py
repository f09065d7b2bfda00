"""Options worth comparing, as a table of which rows are ticked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from costadvisor.common.money import amount_text
from costadvisor.decisions.forms.fields import RefusableForm
from costadvisor.decisions.sized import Suggestion


@dataclass(frozen=True)
class Row:
    """A suggestion as it is read; `number` names it in the form's ids."""

    number: int
    found: Suggestion
    ticked: bool
    month: str
    total: str
    saving: str
    calibration: str


class ProposeForm(RefusableForm):
    """Begins with those ticked that are suggested."""

    def __init__(self, data: Any, *, suggestions: Sequence[Suggestion]) -> None:
        super().__init__(data)
        self.suggestions = {found.key: found for found in suggestions}
        self.fields["options"] = forms.MultipleChoiceField(
            choices=[(key, found.name) for key, found in self.suggestions.items()],
            error_messages={"required": "Tick at least one."},
        )

    @property
    def chosen(self) -> list[Suggestion]:
        return [self.suggestions[key] for key in self.cleaned_data["options"]]

    @property
    def rows(self) -> list[Row]:
        ticked = set(self["options"].value() or ()) if self.is_bound else None
        return [
            Row(
                number=number,
                found=found,
                ticked=found.suggested if ticked is None else found.key in ticked,
                month=amount_text(found.usd_per_month, places=0),
                total=amount_text(found.tco_usd, places=0),
                saving=amount_text(found.saves_usd, places=0),
                calibration="" if found.calibration_usd is None else amount_text(found.calibration_usd, places=0),
            )
            for number, found in enumerate(self.suggestions.values())
        ]
