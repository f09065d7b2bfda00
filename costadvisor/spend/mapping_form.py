"""The form that asks which column of an unknown file is what."""

from collections.abc import Sequence
from typing import Any

from django import forms

from costadvisor.spend import staging
from costadvisor.spend.formats.guessing import guess
from costadvisor.spend.formats.mapped_csv import (
    COST_UNITS,
    NUMBERS,
    PERIODS,
    ROLES,
    TIMES,
    TOKEN_UNITS,
    Choices,
    UnknownTable,
    unknown_table,
)
from costadvisor.spend.forms import CURRENCY_CHOICES
from costadvisor.spend.models import PendingUpload, UploadState
from costadvisor.spend.previews import mapping_remembered
from costadvisor.spend.services.uploads import limits

_LABELS = {
    "time": "Time or date",
    "input_tokens": "Input tokens",
    "cached_input_tokens": "Input tokens, cached",
    "output_tokens": "Output tokens",
    "request_id": "Id of a request",
    "scope": "Project, team or key",
}
_HELP = {
    "request_id": "Only where a row is one request. Two exports that overlap are then told apart request by request.",
    "scope": "Splits the spend further. E-mail addresses in it are dropped.",
    "requests": "How many requests a row sums.",
}
_TIMES = {
    "iso": "2026-10-31, or with a time and offset; UTC where none is given",
    "us": "Month first: 10/31/2026",
    "european": "Day first: 31/10/2026 or 31.10.2026",
    "unix": "Unix seconds: 1793404800",
    "month": "Month: 2026-10",
}
_PERIODS = {"hour": "Hour", "day": "Day", "month": "Month"}
_TOKEN_UNITS = {"1": "Tokens", "1000": "Thousands", "1000000": "Millions"}
_NUMBERS = {"plain": "1234.56", "point": "1,234.56", "comma": "1.234,56 or 1 234,56"}
_COST_UNITS = {"1": "Whole units, such as dollars", "0.01": "Hundredths, such as cents"}


class MappingForm(forms.Form):
    """Which column of a file is what. Made for one table; `choices` are what a valid form says."""

    time_written = forms.ChoiceField(label="How times are written", choices=[(kind, _TIMES[kind]) for kind in TIMES])
    period = forms.ChoiceField(
        label="Sum by",
        choices=[(period, _PERIODS[period]) for period in PERIODS],
        help_text="The period a row belongs to. A later file replaces a period that both have.",
    )
    provider_name = forms.CharField(
        label="Provider, where no column says it", max_length=200, required=False, help_text="Such as openai."
    )
    currency_code = forms.ChoiceField(label="Currency, where no column says it", choices=CURRENCY_CHOICES)
    cached_inside = forms.BooleanField(label="Input tokens include the cached ones", required=False)
    token_unit = forms.ChoiceField(
        label="Tokens are counted in", choices=[(unit, _TOKEN_UNITS[unit]) for unit in TOKEN_UNITS]
    )
    cost_unit = forms.ChoiceField(
        label="Cost is written in", choices=[(unit, _COST_UNITS[unit]) for unit in COST_UNITS]
    )
    numbers = forms.ChoiceField(
        label="How numbers are written", choices=[(style, _NUMBERS[style]) for style in NUMBERS], required=False
    )

    def __init__(self, table: UnknownTable, guessed: Choices, data: Any = None) -> None:
        initial: dict[str, Any] = {role: guessed.columns.get(role, "") for role in ROLES}
        initial |= {
            "time_written": guessed.time, "period": guessed.period, "provider_name": guessed.provider,
            "currency_code": guessed.currency, "cached_inside": guessed.cached_inside,
            "token_unit": guessed.token_unit, "cost_unit": guessed.cost_unit,
            "numbers": guessed.numbers,
        }  # fmt: skip
        super().__init__(data, initial=initial)
        named = [("", "– none –"), *zip(table.columns, (_short(name) for name in table.header), strict=True)]
        asked: dict[str, forms.Field] = {
            role: forms.ChoiceField(
                label=_LABELS.get(role, role.capitalize()),
                choices=named[1:] if role == "time" else named,
                required=role == "time",
                help_text=_HELP.get(role, ""),
            )
            for role in ROLES
        }
        self.fields = asked | self.fields

    @property
    def of_columns(self) -> Sequence[forms.BoundField]:
        return [self[role] for role in ROLES]

    @property
    def of_values(self) -> Sequence[forms.BoundField]:
        return [field for field in self if field.name not in ROLES]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        chosen = [said[role] for role in ROLES if said.get(role)]
        for role in ROLES:
            if said.get(role) and chosen.count(said[role]) > 1:
                self.add_error(role, "This column is chosen twice.")
        if not any(said.get(role) for role in ("cost", "input_tokens", "output_tokens")):
            self.add_error("cost", "Name a column of cost or of tokens.")
        if not said.get("provider") and not said.get("provider_name", "").strip():
            self.add_error("provider_name", "Write who provides the API, or name the column that says it.")
        return said

    @property
    def choices(self) -> Choices:
        said = self.cleaned_data
        return Choices(
            columns={role: said[role] for role in ROLES if said[role]},
            time=said["time_written"],
            period=said["period"],
            provider=said["provider_name"].strip(),
            currency=said["currency_code"],
            cached_inside=said["cached_inside"],
            token_unit=said["token_unit"],
            cost_unit=said["cost_unit"],
            numbers=said["numbers"] or "plain",
        )


def mapping_of(upload: PendingUpload, said: Any) -> tuple[UnknownTable, MappingForm] | None:
    """The table of an upload and the form that asks what its columns are, filled with what is remembered or guessed.

    None where the columns are known, or the file is being read.
    """
    path = staging.file_of(upload)
    if upload.state not in (UploadState.UNKNOWN, UploadState.READY) or not path.exists():
        return None
    with path.open("rb") as stream:
        table = unknown_table(stream, limits())
    if table is None:
        return None
    remembered = mapping_remembered(organization=upload.organization, columns=table.columns)
    return table, MappingForm(table, remembered or guess(table), said)


def _short(name: str) -> str:
    return name[:60]
