"""Forms of the spend pages."""

from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from costadvisor.common.money import CURRENCIES
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import Provider
from costadvisor.spend.provider_keys import ProviderSecret
from costadvisor.spend.pulling.reports import APIS
from costadvisor.spend.rates import DOLLARS

DECIMAL_INPUT = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
CURRENCY_CHOICES = [(code, code) for code in sorted(CURRENCIES)]


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Bill or usage file", help_text="CSV, JSON, JSON lines or Parquet, as it is, gzipped or in a ZIP."
    )


class MonthlyCostForm(forms.Form):
    month = forms.RegexField(
        r"^20\d\d-(0[1-9]|1[0-2])$",
        help_text="Year and month, such as 2026-10.",
        error_messages={"invalid": "Write year and month, such as 2026-10."},
        widget=forms.TextInput(attrs={"type": "month", "placeholder": "2026-10"}),
    )
    provider = forms.CharField(max_length=200, help_text="Who sends the bill, such as openai or anthropic.")
    amount = forms.DecimalField(
        label="Cost of the month",
        min_value=Decimal(0),
        max_digits=14,
        decimal_places=2,
        help_text="What the month cost in all, such as 12500.00.",
    )
    currency = forms.ChoiceField(choices=CURRENCY_CHOICES, initial="USD")


class SecretField(forms.CharField):
    """Cleans to a `ProviderSecret`. Never filled in again, neither by the page nor by a browser."""

    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"})

    def clean(self, value: Any) -> Any:
        try:
            return ProviderSecret(super().clean(value))
        except Refusal as refusal:
            raise ValidationError(str(refusal)) from None


def _needed() -> str:
    return " ".join(f"{Provider(name).label}: {api.needs}." for name, api in APIS.items())


class ProviderKeyForm(forms.Form):
    provider = forms.ChoiceField(choices=Provider.choices)
    secret = SecretField(label="Key", help_text=f"{_needed()} It is kept encrypted and never shown again.")
    since = forms.DateField(
        label="Fetch from",
        help_text="The first day whose costs and use are fetched. OpenRouter keeps the last 30 days only.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, data: Any = None, *, today: date) -> None:
        super().__init__(data, initial={"since": date(today.year - 1, today.month, 1)})


class ExchangeRateForm(forms.Form):
    currency = forms.ChoiceField(choices=[choice for choice in CURRENCY_CHOICES if choice[0] != DOLLARS])
    month = forms.RegexField(
        r"^20\d\d-(0[1-9]|1[0-2])$",
        label="Billed month",
        error_messages={"invalid": "Write year and month, such as 2026-10."},
        widget=forms.TextInput(attrs={"type": "month", "placeholder": "2026-10"}),
    )
    usd = forms.CharField(
        label="US dollars for one unit", max_length=30, help_text="Such as 1.0835.", widget=DECIMAL_INPUT
    )
    as_of = forms.DateField(
        label="Day of the rate",
        help_text="In that month or after it: the month's end, or the day it was paid.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    source = forms.CharField(max_length=200, label="Where it is from", help_text="Such as: ECB reference rate.")
