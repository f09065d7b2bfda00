"""What a refresh or a quote does to decisions: the evaluation's own break-evens, before and after."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from costadvisor.accounts.models import Organization, Scope, User
from costadvisor.accounts.services import token_create
from costadvisor.catalog.models import Quote
from costadvisor.catalog.selectors import catalog_known
from costadvisor.catalog.services.quotes import Given, quote_create, quote_withdraw
from costadvisor.catalog.services.refresh import prices_refresh
from costadvisor.catalog.sources.reading import Reading
from costadvisor.common.money import money_in_prose
from costadvisor.decisions.answers import answer
from costadvisor.decisions.models import Decision
from costadvisor.decisions.price_changes import decisions_moved, price_events
from costadvisor.decisions.selectors import decision_evaluate, records_of
from tests.conftest import LogIn

pytestmark = pytest.mark.django_db
NOW, LATER = datetime(2026, 12, 1, 9, tzinfo=UTC), datetime(2026, 12, 3, 9, tzinfo=UTC)


@pytest.fixture
def quote(acme: Organization, alice: User, decision: Decision) -> Quote:
    return enter(acme, Decimal("0.80"), Decimal("3.20"))


def enter(acme: Organization, fresh: Decimal, out: Decimal, model: str = "gpt-4.1-mini") -> Quote:
    given = Given(
        kind="api", provider="openai", item=model, unit="mtok", input=fresh, output=out,
        valid_from=NOW.date(), source="offer",
    )  # fmt: skip
    return quote_create(organization=acme, actor=None, given=given, now=NOW)


def moved(acme: Organization, place: int = 0) -> list[Any]:
    return list(decisions_moved(organization=acme, event=price_events(organization=acme)[place]))


def test_a_quote_moves_the_break_even_of_the_decision_it_prices(
    acme: Organization, decision: Decision, quote: Quote
) -> None:
    (found,) = moved(acme)
    rows = [row for row in found.moves.rows if row.moved]
    assert found.decision == decision
    assert rows
    assert found.moves.sentences[0] == (
        f"Your break-even of {rows[0].option} against {rows[0].versus} moved from {rows[0].before} of API spend a "
        f"month to {rows[0].after} of API spend a month."
    )
    # by the evaluation as it is, at the prices of that day
    case = decision.case | {"as_of": "2026-12-01"}
    known = catalog_known(organization=acme, on=NOW.date())
    now = answer(case, records=records_of(organization=acme), catalog=known).evaluation
    always = {money_in_prose(row.always_from_api_usd_per_month, "USD") for row in now.break_even}
    assert {row.after for row in rows if "to" not in row.after and row.after[0] == "$"} <= always
    prices = {name: (before, after) for name, before, after in found.moves.prices}
    assert any("input price" in name and pair == ("$0.40", "$0.80") for name, pair in prices.items())


def test_a_quote_of_another_model_moves_nothing(acme: Organization, decision: Decision) -> None:
    enter(acme, Decimal(1), Decimal(1), "gpt-4.1-nano")
    assert moved(acme) == []


def test_a_withdrawal_moves_it_back(acme: Organization, quote: Quote) -> None:
    quote_withdraw(quote=quote, actor=None, now=LATER)
    (entered,), (withdrawn,) = moved(acme, 1), moved(acme, 0)
    assert [row.before for row in entered.moves.rows] == [row.after for row in withdrawn.moves.rows]
    assert [row.after for row in entered.moves.rows] == [row.before for row in withdrawn.moves.rows]


def test_a_refresh_moves_every_decision_that_it_prices(acme: Organization, decision: Decision) -> None:
    rents = [offer for offer in catalog_known(organization=None, on=NOW.date()).gpu_offers if offer.plan == "on_demand"]
    dearer = {
        (o.provider, o.offer, o.region): replace(o, usd_per_hour=o.usd_per_hour * 2, as_of=NOW.date()) for o in rents
    }
    reading = Reading("gpuhunt", "test", "0" * 64, NOW.date(), offers=tuple(dearer.values()))
    prices_refresh(readings=[reading], now=NOW)
    (found,) = moved(acme)
    assert all("rent" in name.lower() or "price" in name for name, _, _ in found.moves.prices)
    assert any(row.moved for row in found.moves.rows)


def test_a_saved_decision_keeps_the_prices_of_its_day(decision: Decision) -> None:
    """Until its day is changed: what is recorded later is dated later."""
    before = decision_evaluate(decision=decision).evaluation.to_json()
    enter(decision.organization, Decimal("0.80"), Decimal("3.20"))
    assert decision_evaluate(decision=decision).evaluation.to_json() == before


def test_on_the_page_by_command_and_over_the_api(acme: Organization, alice: User, quote: Quote, log_in: LogIn) -> None:
    told = moved(acme)[0].moves.sentences[0]
    client, event = log_in(alice), f"quote-{quote.pk}"
    assert event in client.get(reverse("decisions:price_changes", args=[acme.slug])).content.decode()
    page = client.get(reverse("decisions:price_change", args=[acme.slug, event])).content.decode()
    said = StringIO()
    call_command("price_changes", acme.slug, stdout=said)
    _, secret = token_create(organization=acme, name="ci", scopes=[Scope.PRICES], days=1, now=timezone.now())
    api = Client(headers={"Authorization": f"Bearer {secret}"})
    listed = api.get("/api/v1/price-changes").json()["results"]
    answered = api.get(f"/api/v1/price-changes/{event}").json()
    assert told in page.replace("&#x27;", "'")
    assert told in said.getvalue()
    assert [each["id"] for each in listed] == [event]
    assert answered["decisions"][0]["moves"]["sentences"][0] == told
    assert api.get("/api/v1/price-changes/quote-0").status_code == 404


def test_nothing_recorded_is_said_so(acme: Organization) -> None:
    said = StringIO()
    call_command("price_changes", stdout=said)
    assert "acme: nothing was recorded." in said.getvalue()
