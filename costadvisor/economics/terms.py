"""A row of a month and the terms it is made of: what stands in its formula is what it comes to."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from costadvisor.economics.case import Case
from costadvisor.economics.costs import require_plausible
from costadvisor.economics.evaluation import Line, Term
from costadvisor.economics.figures import plain
from costadvisor.economics.values import VOLUME

# Thirds of a dollar have no last digit; cut here, any number of rows sums without rounding.
FINEST_USD = Decimal("1e-12")


def term(text: str, value: Decimal, unit: str, *fields: str) -> Term:
    return Term(text=text, value=value, unit=unit, fields=fields)


def over(text: str, value: Decimal, unit: str, *fields: str) -> Term:
    return Term(text=text, value=value, unit=unit, divides=True, fields=fields)


def line(option_id: str, label: str, terms: tuple[Term, ...], usd: Decimal) -> Line:
    """A row, whose formula is its terms; CaseError for one beyond any bill."""
    require_plausible(option_id, usd)
    formula = "".join(f"{' / ' if known.divides else ' x '}{known.text}" for known in terms)[3:]
    return Line(label=label, formula=formula, usd_per_month=usd.quantize(FINEST_USD, ROUND_HALF_UP), terms=terms)


def terms_usd(terms: Iterable[Term]) -> Decimal:
    """What the terms come to: each multiplied in, or divided by."""
    usd = Decimal(1)
    for known in terms:
        usd = usd / known.value if known.divides else usd * known.value
    return usd


def of_part(name: str, lines: tuple[Line, ...], share: str = "") -> tuple[Line, ...]:
    """The rows of an option that another is made of: `Qwen3-8B on H100: GPU rent`.

    `share` points at the part of the requests that it takes.
    """
    return tuple(
        row.model_copy(update={"label": f"{name}: {row.label}", "terms": tuple(_shared(t, share) for t in row.terms)})
        for row in lines
    )


def _shared(known: Term, share: str) -> Term:
    return known.model_copy(update={"fields": (*known.fields, share)}) if share and VOLUME in known.fields else known


def hours_a_month(case: Case) -> Term:
    return term(f"{plain(case.hours_per_month)} h", case.hours_per_month, "hours a month", "/hours_per_month")
