"""Forms of the spend pages."""

from decimal import Decimal

from django import forms

from costadvisor.common.money import CURRENCIES

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
