"""Fields that several forms share, and how a refused case is shown at one of them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from django import forms

from costadvisor.catalog.snapshot import snapshot
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.written import published_quality
from costadvisor.workloads.forms.described import PRIVACY_CHOICES

PRICES = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok")


def price_field(label: str, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, min_value=Decimal(0), max_digits=18, decimal_places=6, help_text=help_text
    )


def own_price_fields() -> dict[str, forms.Field]:
    """Prices of a contract, or of an API that the catalog does not know."""
    help_text = "Left empty, the list price of the catalog."
    return {
        "input_usd_per_mtok": price_field("Input, USD per million tokens", help_text),
        "cached_input_usd_per_mtok": price_field(
            "Cached input, USD per million tokens", "Without a cache discount, the input price."
        ),
        "output_usd_per_mtok": price_field("Output, USD per million tokens", help_text),
    }


def own_prices(data: Mapping[str, Any]) -> dict[str, Decimal] | None:
    given = {name: data[name] for name in PRICES if data.get(name) is not None}
    if not given:
        return None
    # A provider without a cache discount charges the input price.
    return {"cached_input_usd_per_mtok": given[PRICES[0]], **given}


def check_own_prices(form: forms.Form) -> None:
    """Input and output belong together: one alone prices nothing."""
    data = form.cleaned_data
    if any(data.get(name) is not None for name in PRICES):
        for name in (PRICES[0], PRICES[2]):
            if data.get(name) is None and name not in form.errors:
                form.add_error(name, "Give the input and the output price, or neither.")


def privacy_field(label: str, help_text: str) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=PRIVACY_CHOICES, required=False, widget=forms.CheckboxSelectMultiple, help_text=help_text
    )


class RefusableForm(forms.Form):
    """`PATHS` says which field is at fault for an error at a path inside an option."""

    PATHS: ClassVar[Mapping[str, str]] = {}

    def fields_by_path(self) -> Mapping[str, str]:
        return self.PATHS

    def show(self, refusal: Refusal) -> None:
        """The refusal at its field, or on top where none of these is at fault."""
        path = refusal.field or ""
        inside = path.removeprefix("/options/").partition("/")[2]
        named = next((field for prefix, field in self.fields_by_path().items() if inside.startswith(prefix)), path)
        self.add_error(named if named in self.fields else None, str(refusal))


class QualityForm(RefusableForm):
    """Asks for the option's own score where the case has a quality gate."""

    quality_percent = forms.FloatField(
        min_value=0, max_value=100, required=False, help_text="Left empty, a published score where one is known."
    )
    quality_samples = forms.IntegerField(
        label="Samples it was measured with", min_value=1, max_value=10**9, required=False
    )

    def __init__(self, *args: Any, gate: Mapping[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = gate
        if gate is None:
            del self.fields["quality_percent"], self.fields["quality_samples"]
        else:
            self.fields["quality_percent"].label = f"Own score on {gate['measure']}, %"

    def quality(self, *, model: str) -> list[dict[str, Any]]:
        """The typed score, and published ones for what was not typed."""
        return self.quality_typed_over(published_quality(snapshot().quality_scores, model=model))

    def quality_typed_over(self, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`known` scores, with the typed one in the place of that of its measure."""
        score = self.cleaned_data.get("quality_percent")
        if self.gate is None or score is None:
            return list(known)
        typed = {
            "measure": self.gate["measure"],
            "score": score / 100,
            "n": self.cleaned_data.get("quality_samples"),
        }
        return [typed, *(other for other in known if other["measure"] != typed["measure"])]
