"""A CSV of columns that we do not know, read as a person says: which column is what, and how it is written."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells, Period, day_of, hour_of
from costadvisor.spend.formats.opening import Limits, Unreadable, members, table_of

ROWS_SHOWN = 5
MOST_COLUMNS_SHOWN = 60
# What a column may be, in the order in which they are asked for, with words that its name may have.
ROLES: dict[str, tuple[str, ...]] = {
    "time": (
        "timestamp",
        "created_at",
        "start_time",
        "usage_date",
        "date",
        "time",
        "day",
        "month",
        "created",
        "period",
        "datum",
        "zeitpunkt",
        "monat",
        "fecha",
        "mois",
        "mes",
    ),
    "model": ("model_name", "model", "modell", "modele", "modelo", "modello", "deployment", "engine"),
    "provider": ("provider", "vendor", "supplier", "anbieter", "fournisseur", "proveedor", "fornitore"),
    "requests": (
        "num_requests",
        "request_count",
        "requests",
        "calls",
        "count",
        "anfragen",
        "aufrufe",
        "requetes",
        "solicitudes",
    ),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in", "prompt", "input", "eingabe", "entree", "entrada"),
    "cached_input_tokens": ("cached_input_tokens", "cached_tokens", "cache_read_tokens", "cached", "cache_read"),
    "output_tokens": (
        "output_tokens",
        "completion_tokens",
        "tokens_out",
        "completion",
        "output",
        "ausgabe",
        "sortie",
        "salida",
    ),
    "cost": (
        "cost_usd",
        "total_cost",
        "cost",
        "amount",
        "spend",
        "price",
        "charge",
        "betrag",
        "kosten",
        "montant",
        "cout",
        "importe",
        "bedrag",
    ),
    "currency": ("currency_code", "currency", "wahrung", "waehrung", "devise", "moneda", "valuta"),
    "request_id": ("request_id", "generation_id", "trace_id"),
    "scope": ("project", "team", "workspace", "api_key_name"),
}
TIMES: dict[str, Callable[[str, str], datetime | None]] = {
    "iso": values.moment,
    "us": values.us_moment,
    "european": values.european_moment,
    "unix": values.unix_moment,
    "month": lambda field, text: values.month(field, text)[0] if text else None,
}
PERIODS = ("hour", "day", "month")
NUMBERS = ("plain", "point", "comma")
TOKEN_UNITS = ("1", "1000", "1000000")
COST_UNITS = ("1", "0.01")


@dataclass(frozen=True)
class UnknownTable:
    """The header and first rows of a CSV in no format we know."""

    header: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Choices:
    """`columns` by role; `provider` and `currency` where no column says. `cached_inside`: input includes cached.

    `numbers` are written as programs do ("plain"), or with a decimal point or comma and thousands apart.
    """

    columns: Mapping[str, str]
    time: str = "iso"
    period: str = "day"
    provider: str = ""
    currency: str = "USD"
    cached_inside: bool = True
    token_unit: str = "1"  # noqa: S105 - tokens of text
    cost_unit: str = "1"
    numbers: str = "plain"


class MappedCsv:
    """A `Format` of one header, made from choices."""

    LABEL = "CSV, by the columns you named"

    def __init__(self, choices: Choices, columns: Sequence[str]) -> None:
        self._choices = choices
        self.columns_sha256 = columns_sha256(columns)
        self.NAME = f"mapped:{self.columns_sha256[:12]}"
        self.MARKS = tuple(dict.fromkeys(choices.columns.values()))
        self.COLUMNS = self.MARKS
        self.MAPPING = {role.replace("_", " "): column for role, column in choices.columns.items()}

    @classmethod
    def from_choices(cls, choices: Mapping[str, Any], columns: Sequence[str]) -> "MappedCsv":
        return cls(Choices(**choices), columns)

    @property
    def choices(self) -> dict[str, Any]:
        return asdict(self._choices) | {"columns": dict(self._choices.columns)}

    def rows(self, cells: Cells) -> Iterator[pl.DataFrame]:
        chosen, column = self._choices, self._choices.columns
        at = cells.required(cells.moment(column["time"], read=TIMES[chosen.time]), column["time"])
        total, cached = self._tokens(cells, "input_tokens"), self._tokens(cells, "cached_input_tokens")
        if chosen.cached_inside:
            wrong = cached.is_not_null() & (total.is_null() | (cached > total).fill_null(False))
            cells.refuse(
                wrong, column.get("cached_input_tokens", ""), "is more than the input, which includes the cached"
            )
            total = total - cached.fill_null(0)
        output, cost = self._tokens(cells, "output_tokens"), cells.money(column.get("cost", ""), read=self._cost)
        said_nothing = ~cost.known & total.is_null() & output.is_null()
        cells.refuse(
            said_nothing, column.get("cost", "cost"), "is empty and so are the tokens; a row needs one of them"
        )
        yield cells.figures(
            period=self._period(at),
            provider=self._provider(cells),
            model=cells.name(column.get("model", "")),
            scope=cells.scope(column.get("scope", "")),
            requests=self._counts(cells, column["requests"]) if "requests" in column else self._one_request(),
            input_uncached=total,
            cache_read=cached,
            output=output,
            cost=cost,
            currency=self._currency(cells, cost.known),
            cost_basis="billed",
            **self._request(cells, at),
        )

    def _one_request(self) -> int | None:
        return 1 if "request_id" in self._choices.columns else None

    def _request(self, cells: Cells, at: pl.Series) -> dict[str, Any]:
        if "request_id" not in self._choices.columns:
            return {}
        nothing = cells.same(None, pl.Int64)
        ids = cells.identities(self._choices.columns["request_id"])
        return {"request_id": ids, "arrival": at, "ttft_ms": nothing, "total_ms": nothing}

    def _period(self, at: pl.Series) -> Period:
        if self._choices.period == "hour":
            return hour_of(at)
        if self._choices.period == "day":
            return day_of(at)
        start = at.dt.truncate("1mo")
        return start, start.dt.offset_by("1mo")

    def _tokens(self, cells: Cells, role: str) -> pl.Series:
        name, unit = self._choices.columns.get(role, ""), self._choices.token_unit
        if unit == "1" or not name:
            return self._counts(cells, name)

        def scaled(text: str) -> int | None:
            number = values.number(name, self._plain(name, text))
            return None if number is None else round(number * int(unit))

        return cells.lookup(cells.text(name), scaled, name, pl.Int64)

    def _counts(self, cells: Cells, name: str) -> pl.Series:
        if self._choices.numbers == "plain" or not name:
            return cells.count(name)
        return cells.lookup(cells.text(name), lambda text: values.count(name, self._plain(name, text)), name, pl.Int64)

    def _cost(self, field: str, text: str) -> Decimal | None:
        plain = self._plain(field, text)
        return values.cents(field, plain) if self._choices.cost_unit == "0.01" else values.number(field, plain)

    def _plain(self, field: str, text: str) -> str:
        numbers = self._choices.numbers
        return text if numbers == "plain" else values.ungrouped(field, text, numbers)

    def _provider(self, cells: Cells) -> Any:
        column = self._choices.columns.get("provider")
        return cells.name(column, required=True).str.to_lowercase() if column else self._choices.provider.lower()

    def _currency(self, cells: Cells, priced: pl.Series) -> Any:
        column = self._choices.columns.get("currency")
        if not column:
            return self._choices.currency
        currency = cells.currency(column)
        cells.refuse(priced & (currency == ""), column, "an amount needs its currency; write an ISO code such as USD")
        return currency


def columns_sha256(columns: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(columns)).encode()).hexdigest()


def unknown_table(stream: BinaryIO, limits: Limits) -> UnknownTable | None:
    """The first table in a file, if it has rows under at least two columns of text."""
    stream.seek(0)
    try:
        with members(stream, limits) as found:
            for label, inner in found:
                with table_of(label, inner, limits) as table:
                    if len(table.columns) < 2 or len(set(table.columns)) < len(table.columns) or "" in table.columns:
                        return None
                    return _shown(table.header, table.columns, next(table.parts(table.columns), None))
    except Unreadable:
        return None
    return None


def _shown(header: Sequence[str], columns: Sequence[str], cells: Cells | None) -> UnknownTable | None:
    if cells is None or not len(cells):
        return None
    rows = cells.frame.select(columns).head(ROWS_SHOWN).rows()
    return UnknownTable(tuple(header), tuple(columns), tuple(tuple(map(str, row)) for row in rows))
