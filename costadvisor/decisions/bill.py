"""An option's month line by line, with what each line is made of, in words and rounded figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

from costadvisor.common.money import UNKNOWN, amount_text
from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import OptionResult, Term
from costadvisor.economics.evidence import evidence_of
from costadvisor.economics.figures import plain as digits
from costadvisor.economics.names import input_name

AS_GIVEN = "as the case gives it"


@dataclass(frozen=True)
class Ingredient:
    """A term of a line as its formula has it, what it comes to where that says more, and the inputs it is made of."""

    text: str
    value: str
    inputs: str
    source: str


@dataclass(frozen=True)
class BillLine:
    label: str
    formula: str
    usd: str
    ingredients: tuple[Ingredient, ...]


@dataclass(frozen=True)
class Bill:
    name: str
    lines: tuple[BillLine, ...]
    total: str


def bill_of(row: OptionResult, case: Case, names: Mapping[str, str]) -> Bill:
    lines = tuple(
        BillLine(
            line.label,
            line.formula,
            amount_text(line.usd_per_month),
            tuple(_ingredient(term, case, names) for term in line.terms),
        )
        for line in row.lines
    )
    month = UNKNOWN if row.usd_per_month is None else amount_text(row.usd_per_month.point)
    return Bill(names[row.id], lines, month)


def _ingredient(term: Term, case: Case, names: Mapping[str, str]) -> Ingredient:
    """What the case says of its fields, or of the part of it that holds them."""
    inputs = " and ".join(input_name(field, names) for field in term.fields)
    said = {known.source: known for field in term.fields if (known := evidence_of(case, field))}
    told = "; ".join(f"{known.grade}, {known.basis}: {source}" for source, known in said.items())
    number = digits(_readable(term.value))
    value = "" if number in term.text else f"{number} {term.unit}"
    plain_unit = "" if value or term.unit in term.text else term.unit
    return Ingredient(term.text, value, inputs or plain_unit, told or (AS_GIVEN if term.fields else ""))


def _readable(value: Decimal) -> Decimal:
    """Nine significant digits: the file of the evaluation has them all."""
    return Context(prec=9).plus(value)
