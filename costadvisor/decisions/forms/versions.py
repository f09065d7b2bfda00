"""Which two answers to a decision are compared: versions by number, and the decision as it is now."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from costadvisor.decisions.models import Recommendation

NOW = "now"


class VersionsForm(forms.Form):
    """At first the newest version and the decision as it is now."""

    def __init__(self, data: Mapping[str, Any], *, versions: Sequence[Recommendation]) -> None:
        newest = str(versions[0].version) if versions else NOW
        super().__init__({"before": data.get("before", newest), "after": data.get("after", NOW)})
        choices = [(NOW, "as it is now"), *((str(known.version), f"version {known.version}") for known in versions)]
        for end, label in (("before", "From"), ("after", "To")):
            self.fields[end] = forms.ChoiceField(label=label, choices=choices)
