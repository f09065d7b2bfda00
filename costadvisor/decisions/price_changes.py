"""What was recorded of prices, one event at a time, and which decisions each moves.

An event is a reading of a price list that said something new, a quote entered, or a quote withdrawn. A decision is
answered twice, at prices of the event's day: with what was known just before, and with what the event added.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from costadvisor.accounts.models import Organization
from costadvisor.catalog.models import PriceCheck, Quote
from costadvisor.catalog.selectors import catalog_known, check_list, quote_list
from costadvisor.catalog.services.refresh import change_text
from costadvisor.decisions.answers import answer
from costadvisor.decisions.models import Decision
from costadvisor.decisions.price_moves import PriceMoves, price_moves, prices_moved
from costadvisor.decisions.resolve import case_resolve
from costadvisor.decisions.selectors import decision_list, records_of
from costadvisor.economics import CaseError, parse_case

MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class PriceEvent:
    """`id` is its address; prices of `on` are compared."""

    id: str
    title: str
    at: datetime
    on: date
    changes: tuple[str, ...]


@dataclass(frozen=True)
class MovedDecision:
    """`moves` is None where the case is refused at those prices, which `refused` then says."""

    decision: Decision
    moves: PriceMoves | None
    refused: str = ""


def price_events(*, organization: Organization) -> list[PriceEvent]:
    """The newest first."""
    checks = check_list().filter(changes__isnull=False).distinct()
    quotes = quote_list(organization=organization)
    found = [*map(_check, checks), *(event for quote in quotes for event in _of_quote(quote))]
    return sorted(found, key=lambda event: (event.at, event.id), reverse=True)


def price_event_find(*, organization: Organization, event_id: str) -> PriceEvent | None:
    return next((event for event in price_events(organization=organization) if event.id == event_id), None)


def decisions_moved(*, organization: Organization, event: PriceEvent) -> Iterator[MovedDecision]:
    """Each decision that is priced otherwise by it; a decision it does not touch is not evaluated."""
    before, after = (
        catalog_known(organization=organization, on=event.on, until=until) for until in (event.at - MOMENT, event.at)
    )
    records = records_of(organization=organization)
    for decision in decision_list(organization=organization):
        case = {**decision.case, "as_of": event.on.isoformat()}
        try:
            was, now = (
                case_resolve(parse_case(case), folder=None, records=records, catalog=known) for known in (before, after)
            )
            if not prices_moved(was, now):
                continue
            answers = (answer(case, records=records, catalog=known) for known in (before, after))
            yield MovedDecision(decision, price_moves(*answers))
        except CaseError as error:
            yield MovedDecision(decision, None, f"{error.path} {error.problem}; {error.remedy}.")


def _check(check: PriceCheck) -> PriceEvent:
    changes = tuple(change_text(change) for change in check.changes.all())
    return PriceEvent(
        f"check-{check.pk}", f"Read from {check.get_source_display()}", check.read_at, check.read_on, changes
    )


def _of_quote(quote: Quote) -> Iterator[PriceEvent]:
    """One that holds from a later day is compared on that day."""
    until = f" to {quote.valid_to}" if quote.valid_to else ""
    change = f"{quote}: {quote.as_entered}, from {quote.valid_from}{until}"
    entered = max(quote.valid_from, quote.created_at.date())
    yield PriceEvent(f"quote-{quote.pk}", f"Own quote of {quote.provider}", quote.created_at, entered, (change,))
    if quote.withdrawn_at is not None:
        on = max(quote.valid_from, quote.withdrawn_at.date())
        title = f"Own quote of {quote.provider} withdrawn"
        yield PriceEvent(f"withdrawn-{quote.pk}", title, quote.withdrawn_at, on, (change,))
