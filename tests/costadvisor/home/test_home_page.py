"""The first page: the guided start, and where we stand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import membership_set, organization_create, user_create
from costadvisor.decisions.services.recommendations import recommendation_issue
from costadvisor.home.demo.example import example_load
from costadvisor.home.navigation import ROOMS
from costadvisor.home.standing import standing
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.services import monthly_cost_record

LogIn = Callable[[User], Client]


def test_an_empty_organization_shows_the_four_steps(acme: Organization, alice: User, bob: User, log_in: LogIn) -> None:
    page = log_in(alice).get("/o/acme/").content.decode()
    for step in ("1. Bring your bill", "2. Describe the traffic", "3. Measure or pick a measurement", "4. Decide"):
        assert step in page
    assert 'href="/o/acme/spend/upload/"' in page
    assert "done" not in page
    # A viewer is told the steps but not sent where only editors may go.
    assert 'href="/o/acme/spend/upload/"' not in log_in(bob).get("/o/acme/").content.decode()


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [("999.99", "rarely pays"), ("1000", "it depends"), ("10000", "it depends"), ("10000.01", "often pays")],
)
def test_spend_is_held_against_the_rule_of_thumb(
    acme: Organization, alice: User, log_in: LogIn, amount: str, sentence: str
) -> None:
    monthly_cost_record(
        organization=acme,
        actor=alice,
        month_text="2026-10",
        provider="openai",
        amount=Decimal(amount),
        currency_code="USD",
    )
    page = log_in(alice).get("/o/acme/").content.decode()
    assert "API spend in Oct 2026" in page
    assert sentence in page
    assert "1. Bring your bill <span" in page


def test_a_month_that_still_runs_is_not_held_against_the_rule_of_thumb() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    sums = {f"{name}_sum": None for name in UsageMonth.SUMMED} | {"cost_sum": Decimal(700), "lines_without_requests": 0}
    key = {"month": start.date(), "provider": "p", "model": "m", "source": "s", "currency": "USD", "first_start": start}
    running = UsageMonth.from_sums(sums | key | {"last_end": start + timedelta(days=20)})
    whole = UsageMonth.from_sums(sums | key | {"last_end": start + timedelta(days=30)})
    assert standing([running]) is None
    found = standing([whole])
    assert found is not None
    assert (found.usd, found.zone) == (Decimal(700), "below")


def test_spend_in_another_currency_is_not_held_against_dollars(acme: Organization, alice: User, log_in: LogIn) -> None:
    monthly_cost_record(
        organization=acme, actor=alice, month_text="2026-10", provider="p", amount=Decimal(5), currency_code="EUR"
    )
    page = log_in(alice).get("/o/acme/").content.decode()
    assert "no whole month has a cost in US dollars yet" in page


def test_a_decision_is_listed_until_a_version_of_it_stands(log_in: LogIn, db: None) -> None:
    example = example_load(str)
    client, link = log_in(example.user), f'<a href="/o/demo/decisions/{example.decision.pk}/">{example.decision}</a>'
    assert link in client.get("/o/demo/").content.decode()
    recommendation_issue(decision=example.decision, actor=example.user, now=datetime(2026, 11, 21, tzinfo=UTC))
    page = client.get("/o/demo/").content.decode()
    assert link not in page
    assert f"{example.decision}, version 1" in page


def test_every_room_is_in_the_navigation_and_marks_itself(acme: Organization, alice: User, log_in: LogIn) -> None:
    for room in ROOMS:
        address = reverse(room.url_name, args=["acme"])
        page = log_in(alice).get(address).content.decode()
        assert f'<a href="{address}" aria-current="page">{room.title}</a>' in page
        assert page.count("aria-current") == 1


def test_the_start_leads_to_the_only_organization_or_offers_a_choice(
    alice: User, acme: Organization, log_in: LogIn
) -> None:
    client = log_in(alice)
    assert client.get("/")["Location"] == "/o/acme/"
    other = organization_create(name="Beta", admin=user_create(email="d@example.com", password="correct horse 7"))
    membership_set(organization=other, user=alice, role=Role.VIEWER, actor=alice)
    page = client.get("/").content.decode()
    assert "Choose an organization" in page
    assert 'href="/o/beta/"' in page


def test_a_user_without_an_organization_is_told_what_to_do(db: None, log_in: LogIn) -> None:
    loner = user_create(email="loner@example.com", password="correct horse 7")
    assert "No organization yet" in log_in(loner).get("/").content.decode()


def test_an_unknown_address_is_a_plain_page(acme: Organization, alice: User, log_in: LogIn) -> None:
    answer = log_in(alice).get("/o/acme/nothing-here/")
    assert answer.status_code == 404
    assert "nothing at this address" in answer.content.decode()
