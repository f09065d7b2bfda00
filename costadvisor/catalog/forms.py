"""The forms of a quote, one of an API's model and one of a GPU."""

from decimal import Decimal
from typing import Any

from django import forms

from costadvisor.catalog.models import PriceKind
from costadvisor.catalog.services.quotes import PLANS, UNITS, Given
from costadvisor.catalog.snapshot import snapshot
from costadvisor.common.refusal import Refusal


def _price(label: str, help_text: str = "", required: bool = True) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, help_text=help_text, required=required, min_value=Decimal(0), max_digits=18, decimal_places=9
    )


def _day(label: str, help_text: str, required: bool = True) -> forms.DateField:
    return forms.DateField(
        label=label, help_text=help_text, required=required, widget=forms.DateInput(attrs={"type": "date"})
    )


class QuoteForm(forms.Form):
    KIND = PriceKind.API
    provider = forms.CharField(max_length=120, help_text="Who made the quote, as the prices below name it.")
    valid_from = _day("Valid from", "The first day on which it holds.")
    valid_to = _day(
        "Valid to", "The last day. Left empty it has no end, and ages as a list price does.", required=False
    )
    source = forms.CharField(
        label="Where it is from", max_length=200, help_text="Such as: e-mail of their sales, 2026-11-24."
    )
    file_name = forms.CharField(
        label="Name of the file", max_length=200, required=False, help_text="Where the document is kept, by its name."
    )

    def given(self) -> Given:
        """Of a valid form."""
        said = {name: value for name, value in self.cleaned_data.items() if name != "batch_discount_percent"}
        discount = self.cleaned_data.get("batch_discount_percent")
        return Given(kind=self.KIND, **said, batch_discount=None if discount is None else discount / 100)

    def show(self, refusal: Refusal) -> None:
        field = "batch_discount_percent" if refusal.field == "batch_discount" else refusal.field
        self.add_error(field if field in self.fields else None, str(refusal))


class ApiQuoteForm(QuoteForm):
    item = forms.CharField(label="Model", max_length=200, help_text="By the provider's name, such as gpt-4.1-mini.")
    unit = forms.ChoiceField(choices=[(key, name) for key, (name, _) in UNITS[PriceKind.API].items()])
    input = _price("Input, USD")
    cached_input = _price("Cached input, USD", "Left empty, cached input costs what input costs.", required=False)
    output = _price("Output, USD")
    batch_discount_percent = forms.DecimalField(
        label="Batch discount, %",
        required=False,
        min_value=Decimal(0),
        max_value=Decimal(99),
        help_text="Left empty, requests that may wait get none: a list price's does not pass to a quote.",
    )
    field_order = (
        "provider", "item", "unit", "input", "cached_input", "output", "batch_discount_percent", "valid_from",
        "valid_to", "source", "file_name",
    )  # fmt: skip


class GpuQuoteForm(QuoteForm):
    KIND = PriceKind.GPU
    item = forms.ChoiceField(label="GPU")
    plan = forms.ChoiceField(choices=[(plan, plan.replace("_", " ").capitalize()) for plan in PLANS])
    gpus = forms.IntegerField(label="GPUs in the machine", min_value=1, max_value=1024, initial=1)
    unit = forms.ChoiceField(
        label="Price per", choices=[(key, name) for key, (name, _) in UNITS[PriceKind.GPU].items()]
    )
    rent = _price("Rent, USD an hour")
    field_order = ("provider", "item", "plan", "gpus", "unit", "rent", "valid_from", "valid_to", "source", "file_name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        gpus = sorted({offer.gpu for offer in snapshot().gpu_offers if offer.gpus})
        self.fields["item"].choices = [(gpu, gpu) for gpu in gpus]  # type: ignore[attr-defined]


FORMS: dict[str, type[QuoteForm]] = {PriceKind.API: ApiQuoteForm, PriceKind.GPU: GpuQuoteForm}
