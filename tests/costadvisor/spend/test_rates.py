"""Bills in other currencies: kept as billed, and in US dollars only at a rate that somebody confirmed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.models import Event
from costadvisor.common.refusal import Refusal
from costadvisor.decisions import todays_api
from costadvisor.spend.formats.amounts import EXACT, exact_sum
from costadvisor.spend.models import ExchangeRate, SpendLine
from costadvisor.spend.month import UsageMonth
from costadvisor.spend.rates import Rate, days_in_usd, foreign_months, months_in_usd
from costadvisor.spend.reconciliation import reconcile
from costadvisor.spend.selectors import rates_confirmed, usage_months, usage_months_in_usd
from costadvisor.spend.services.rates import exchange_rate_confirm, exchange_rate_withdraw
from tests.costadvisor.spend.test_import_pages import import_file, upload
from tests.costadvisor.spend.test_reconciliation import BILL, USE
from tests.costadvisor.spend.test_spend_api import Caller

LogIn = Callable[[User], Client]
SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
EURO = Rate("EUR", OCTOBER, Decimal("1.0835"), date(2026, 10, 31), "ECB reference rate")
IN_EUROS = "2026-10,openai,gpt-4o-mini,1000,5000000,2000000,700000,0.123456789012345,EUR"
EARLIER = "2026-09,openai,gpt-4o-mini,1000,5000000,2000000,700000,2.00,EUR"
FORM = {"currency": "EUR", "month": "2026-10", "usd": "1.0835", "as_of": "2026-10-31", "source": "ECB reference rate"}


def month(cost: Decimal | None, currency: str, when: date = OCTOBER) -> UsageMonth:
    start = datetime(when.year, when.month, 1, tzinfo=UTC)
    return UsageMonth(
        month=when, provider="p", model="m", source="s", currency=currency, cost=cost, first_start=start,
        last_end=start + timedelta(days=31), requests=None, input_uncached=None, cache_read=None, cache_write_5m=None,
        cache_write_1h=None, output=None,
    )  # fmt: skip


money = st.decimals(min_value=-1000, max_value=10**9, places=15)


@given(st.lists(money, max_size=8), st.decimals(min_value="0.000001", max_value=100, places=10))
def test_the_sum_in_dollars_is_the_sum_times_the_rate_to_the_last_digit(costs: list[Decimal], usd: Decimal) -> None:
    rates = {("EUR", OCTOBER): replace(EURO, usd=usd)}
    months = [month(cost, "EUR") for cost in costs]
    in_usd, billed = months_in_usd(months, rates), exact_sum(costs)
    assert exact_sum([one.cost or Decimal(0) for one in in_usd]) == EXACT.multiply(billed, usd)
    assert {one.currency for one in in_usd} <= {"USD"}
    assert [(one.billed, one.usd) for one in foreign_months(months, rates)] == (
        [(billed, EXACT.multiply(billed, usd))] if costs else []
    )


def test_without_a_rate_of_that_month_nothing_changes() -> None:
    rates = {("EUR", OCTOBER): EURO}
    kept = [month(Decimal(3), "EUR", SEPTEMBER), month(Decimal(3), "USD"), month(Decimal(3), "GBP"), month(None, "")]
    assert months_in_usd(kept, rates) == kept
    assert [(one.currency, one.month, one.usd) for one in foreign_months(kept, rates)] == [
        ("GBP", OCTOBER, None), ("EUR", SEPTEMBER, None),
    ]  # fmt: skip


def test_a_bill_in_euros_is_compared_at_its_months_rate_and_says_so() -> None:
    bill = replace(BILL, currency="EUR", billed=Decimal("1.50"))
    (line,) = reconcile(days_in_usd([USE, bill], {("EUR", OCTOBER): EURO}))
    assert (line.billed, line.currency) == (Decimal("1.50") * Decimal("1.0835"), "USD")
    assert line.factor == Decimal("1.50") * Decimal("1.0835") / Decimal("1.8")
    assert line.explanation.endswith("1 EUR = 1.0835 USD on 2026-10-31 (ECB reference rate)")
    (line,) = reconcile(days_in_usd([USE, bill], {}))
    assert line.factor is None
    assert line.explanation == "list prices are in USD, the bill in EUR, and no rate of that month is confirmed"


@pytest.fixture
def client(acme: Organization, alice: User, log_in: LogIn) -> Client:
    return log_in(alice)


def test_from_a_file_in_euros_to_dollars_by_the_pages(client: Client, acme: Organization) -> None:
    preview = client.get(upload(client, IN_EUROS, EARLIER)).content.decode()
    assert "rates/?currency=EUR&amp;month=2026-10#rate" in preview
    page = import_file(client, IN_EUROS, EARLIER)
    assert "Confirm a rate of EUR" in page
    assert usage_months_in_usd(organization=acme) == usage_months(organization=acme)
    assert 'value="2026-09"' in client.get("/o/acme/spend/rates/?currency=EUR&month=2026-09").content.decode()
    page = client.post("/o/acme/spend/rates/", FORM, follow=True).content.decode()
    assert "Oct 2026: 1 EUR = 1.0835 USD" in page.replace("October", "Oct")
    earlier, later = usage_months_in_usd(organization=acme)
    assert (earlier.cost, earlier.currency) == (Decimal("2.00"), "EUR")
    assert (later.cost, later.currency) == (Decimal("0.123456789012345") * Decimal("1.0835"), "USD")
    assert {line.currency for line in SpendLine.current.all()} == {"EUR"}, "what was billed stays as it was billed"
    assert "$0.13" in client.get("/o/acme/spend/").content.decode()
    assert "1 EUR = 1.0835 USD" in client.get("/o/acme/spend/reconciliation/").content.decode()


def test_a_corrected_rate_keeps_the_one_before(client: Client, acme: Organization, alice: User) -> None:
    client.post("/o/acme/spend/rates/", FORM)
    client.post("/o/acme/spend/rates/", FORM)
    assert ExchangeRate.objects.count() == 1, "the same again changes nothing"
    client.post("/o/acme/spend/rates/", FORM | {"usd": "1.09", "source": "our treasury"})
    now, before = ExchangeRate.objects.all()
    assert (now.usd, now.replaced_at, before.usd) == ("1.09", None, "1.0835")
    assert before.replaced_at is not None
    assert rates_confirmed(organization=acme)["EUR", OCTOBER].usd == Decimal("1.09")
    client.post(f"/o/acme/spend/rates/{now.pk}/withdraw/")
    assert rates_confirmed(organization=acme) == {}
    assert "no longer" in client.post(f"/o/acme/spend/rates/{now.pk}/withdraw/", follow=True).content.decode()
    told = [(event.action, event.details["rate"]) for event in Event.objects.filter(object_kind="exchange_rate")]
    assert sorted(told) == [
        ("exchange_rate_confirm", "1 EUR = 1.0835 USD on 2026-10-31 (ECB reference rate)"),
        ("exchange_rate_confirm", "1 EUR = 1.09 USD on 2026-10-31 (our treasury)"),
        ("exchange_rate_withdraw", "1 EUR = 1.09 USD on 2026-10-31 (our treasury)"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("usd", "0", "above 0"),
        ("usd", "1,08", "such as 1.0835"),
        ("usd", "NaN", "such as 1.0835"),
        ("usd", "101", "100 at most"),
        ("as_of", "2026-09-30", "in that month or after it"),
        ("as_of", "2999-01-01", "not ahead"),
        ("month", "2099-01", "must have begun"),
        ("source", "  ", "This field is required"),
        ("currency", "USD", "Select a valid choice"),
    ],
)
def test_a_wrong_rate_is_refused_beside_its_field(client: Client, field: str, value: str, says: str) -> None:
    page = client.post("/o/acme/spend/rates/", FORM | {field: value}).content.decode()
    assert says in page
    assert not ExchangeRate.objects.exists()


def test_viewers_look_and_strangers_do_not(
    client: Client, acme: Organization, bob: User, charlie: User, log_in: LogIn
) -> None:
    client.post("/o/acme/spend/rates/", FORM)
    page = log_in(bob).get("/o/acme/spend/rates/")
    assert page.status_code == 200
    assert "Withdraw" not in page.content.decode()
    assert log_in(bob).post("/o/acme/spend/rates/", FORM | {"usd": "2"}).status_code == 403
    rate = ExchangeRate.objects.get()
    assert log_in(bob).post(f"/o/acme/spend/rates/{rate.pk}/withdraw/").status_code == 403
    assert log_in(charlie).get("/o/acme/spend/rates/").status_code == 404


def test_the_service_names_what_is_wrong(acme: Organization, alice: User) -> None:
    said: dict[str, Any] = {
        "organization": acme, "actor": alice, "currency": "XXX", "month": OCTOBER, "usd": "1", "as_of": OCTOBER,
        "source": "s", "now": timezone.now(),
    }  # fmt: skip
    with pytest.raises(Refusal, match="ISO code") as refusal:
        exchange_rate_confirm(**said)
    assert refusal.value.field == "currency"
    rate = exchange_rate_confirm(**said | {"currency": "JPY", "usd": "0.00660"})
    assert (rate.usd, rate.rate.usd) == ("0.0066", Decimal("0.0066"))
    exchange_rate_withdraw(rate=rate, actor=alice, now=timezone.now())
    with pytest.raises(Refusal):
        exchange_rate_withdraw(rate=rate, actor=alice, now=timezone.now())


def test_a_decision_takes_the_bill_over_in_dollars_and_names_the_rate(client: Client, acme: Organization) -> None:
    import_file(
        client, *(line.replace("2.00,", "1.0,").replace("0.123456789012345", "1.0") for line in (IN_EUROS, EARLIER))
    )
    known = {"provider": "openai", "model": "gpt-4o-mini"}
    assert todays_api.reconcile(usage_months_in_usd(organization=acme), **known) is None
    client.post("/o/acme/spend/rates/", FORM)
    found = todays_api.reconcile(usage_months_in_usd(organization=acme), **known)
    assert found is not None
    assert found.billed_usd == Decimal("1.0835")
    assert "1 EUR = 1.0835 USD on 2026-10-31 (ECB reference rate)" in found.evidence["source"]


def test_the_same_over_the_api(client: Client, acme: Organization) -> None:
    import_file(client, IN_EUROS)
    call = Caller(acme)
    status, said = call("GET", "spend/rates")
    assert (status, said["rates"]) == (200, [])
    assert said["billed"] == [
        {"month": "2026-10", "currency": "EUR", "billed": "0.123456789012345", "usd": None, "rate": None}
    ]
    status, rate = call("POST", "spend/rates", FORM)
    assert (status, rate["by"], rate["usd"]) == (201, "API token ci", "1.0835")
    (line,) = call("GET", "spend/months")[1]["results"]
    assert (line["cost"], line["currency"]) == ("0.123456789012345", "EUR")
    assert Decimal(line["usd"]) == Decimal("0.123456789012345") * Decimal("1.0835")
    for field, value in (("month", "October"), ("as_of", "2026-13-01"), ("usd", "-1"), ("currency", "USD")):
        status, refused = call("POST", "spend/rates", FORM | {field: value})
        assert (status, [error["attr"] for error in refused["errors"]]) == (400, [field])
    assert call("DELETE", f"spend/rates/{rate['id']}")[0] == 204
    assert call("DELETE", f"spend/rates/{rate['id']}")[0] == 409
    assert call("DELETE", "spend/rates/999")[0] == 404
    assert call("GET", "spend/months")[1]["results"][0]["usd"] is None
    assert len(call("GET", "spend/rates")[1]["rates"]) == 1


def test_a_removed_import_leaves_the_rate_and_a_second_import_changes_nothing(
    client: Client, acme: Organization
) -> None:
    import_file(client, IN_EUROS)
    client.post("/o/acme/spend/rates/", FORM)
    before = usage_months_in_usd(organization=acme)
    assert "Nothing in this file would be added" in client.get(upload(client, IN_EUROS)).content.decode()
    client.post(f"/o/acme/spend/imports/{SpendLine.objects.get().bill_import_id}/remove/")
    assert usage_months_in_usd(organization=acme) == []
    import_file(client, IN_EUROS)
    assert usage_months_in_usd(organization=acme) == before
