"""Own quotes: entered on a page or over the API, preferred while they hold, withdrawn and never changed."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from costadvisor.accounts.models import Organization, Scope, User
from costadvisor.accounts.services import token_create
from costadvisor.catalog.models import Quote
from costadvisor.catalog.selectors import catalog_known
from costadvisor.catalog.services.quotes import Given, quote_create
from costadvisor.decisions.prices import resolve_api_prices, resolve_rent
from tests.conftest import LogIn

pytestmark = pytest.mark.django_db
NOW, DAY = datetime(2026, 12, 1, 9, tzinfo=UTC), date(2026, 12, 1)
ROOT = "/api/v1/quotes"
API: dict[str, Any] = {
    "kind": "api", "provider": "openai", "item": "gpt-4.1-mini", "unit": "mtok", "input": "0.30", "output": "1.20",
    "valid_from": "2026-12-01", "valid_to": "2026-12-31", "source": "e-mail of their sales",
}  # fmt: skip
GPU: dict[str, Any] = {
    "kind": "gpu", "provider": "lambda", "item": "H100", "plan": "on_demand", "unit": "machine_hour", "rent": "20",
    "gpus": 8, "valid_from": "2026-12-01", "source": "offer 17",
}  # fmt: skip


def enter(acme: Organization, **changes: Any) -> Quote:
    said: dict[str, Any] = API | changes if changes.get("kind", "api") == "api" else GPU | changes
    for name in ("input", "cached_input", "output", "batch_discount", "rent"):
        if said.get(name) is not None:
            said[name] = Decimal(said[name])
    for name in ("valid_from", "valid_to"):
        if said.get(name) is not None:
            said[name] = date.fromisoformat(said[name])
    return quote_create(organization=acme, actor=None, given=Given(**said), now=NOW)


def api_priced(acme: Organization | None, on: date, **more: Any) -> dict[str, Any]:
    """The case after its one API option was priced."""
    option = {"id": "today", "provider": "openai", "model": "GPT-4.1-mini"} | more
    case: dict[str, Any] = {"options": [option], "evidence": {}, "uncertainty": {}}
    path = "/options/today"
    case["uncertainty"][f"{path}/reconciliation_factor"] = [0.8, 0.9, 1.0]
    resolve_api_prices(option, path, on, case, catalog_known(organization=acme, on=on))
    return case


def rent_of(acme: Organization, on: date, gpus: int = 1) -> tuple[str, dict[str, Any]]:
    option: dict[str, Any] = {"hardware": {"gpu": "H100", "gpus_per_replica": gpus}}
    evidence: dict[str, Any] = {}
    resolve_rent(option, "/options/h100", on, evidence, catalog_known(organization=acme, on=on))
    return option["hardware"]["usd_per_hour"], evidence["/options/h100/hardware/usd_per_hour"]


def test_a_quote_counts_before_the_list_price_on_its_days_only(acme: Organization) -> None:
    enter(acme, file_name="offer.pdf")
    priced = {on: api_priced(acme, on)["options"][0]["prices"] for on in map(date.fromisoformat, DAYS)}
    assert [priced[date.fromisoformat(on)]["input_usd_per_mtok"] for on in DAYS] == ["0.4", "0.3", "0.3", "0.4"]
    said = api_priced(acme, DAY)["evidence"]["/options/today/prices"]
    assert said["source"] == (
        "own quote of openai, valid from 2026-12-01 to 2026-12-31: e-mail of their sales, offer.pdf; "
        "no batch discount was quoted"
    )
    assert api_priced(None, DAY)["options"][0]["prices"]["input_usd_per_mtok"] == "0.4"


DAYS = ("2026-11-30", "2026-12-01", "2026-12-31", "2027-01-01")


def test_the_factor_of_the_bill_does_not_come_on_top_of_a_quote(acme: Organization) -> None:
    """It was found against the list price: 0.93 of a quoted price is nobody's price."""
    enter(acme)
    case = api_priced(acme, DAY, reconciliation_factor=0.93)
    assert "reconciliation_factor" not in case["options"][0]
    assert case["uncertainty"] == {}
    assert case["evidence"]["/options/today/reconciliation_factor"]["source"].startswith("1: the quote stands")
    before = api_priced(acme, date(2026, 11, 30), reconciliation_factor=0.93)
    assert before["options"][0]["reconciliation_factor"] == 0.93
    assert before["uncertainty"]


def test_a_price_that_the_case_writes_stays(acme: Organization) -> None:
    enter(acme)
    assert (
        api_priced(acme, DAY, prices={"input_usd_per_mtok": "9"})["options"][0]["prices"]["input_usd_per_mtok"] == "9"
    )


def test_a_rent_is_the_lowest_of_each_providers_last_quote(acme: Organization) -> None:
    enter(acme, kind="gpu", rent="8")
    enter(acme, kind="gpu")  # the provider's last: $20 for 8 GPUs
    enter(acme, kind="gpu", provider="aws", unit="gpu_hour", rent="2.75", gpus=1)
    usd, said = rent_of(acme, DAY, gpus=2)
    assert (usd, said["as_of"]) == ("5", "2026-12-01")
    assert "lowest of 2 own quotes" in said["source"]
    assert "median" in rent_of(acme, date(2026, 11, 30))[1]["source"]


def test_units_are_the_catalogs_own(acme: Organization) -> None:
    quote = enter(acme, unit="ktok", input="0.0003", output="0.0012", cached_input="0.000075", batch_discount="0.5")
    assert (quote.input_usd_per_mtok, quote.output_usd_per_mtok) == (Decimal("0.3"), Decimal("1.2"))
    assert quote.as_entered == "0.0003 in, 0.000075 cached, 0.0012 out, USD per 1,000 tokens"
    prices = api_priced(acme, DAY)["options"][0]["prices"]
    assert (prices["cached_input_usd_per_mtok"], prices["batch_discount"]) == ("0.075", 0.5)


def test_one_with_an_end_does_not_age_and_an_open_one_does(acme: Organization) -> None:
    enter(acme)
    enter(acme, kind="gpu", valid_from="2026-10-01")
    assert api_priced(acme, date(2026, 12, 31))["evidence"]["/options/today/prices"]["as_of"] == "2026-12-31"
    assert rent_of(acme, DAY)[1]["as_of"] == "2026-10-01"


def test_entered_and_withdrawn_on_the_page(acme: Organization, alice: User, log_in: LogIn) -> None:
    client = log_in(alice)
    form = {name: value for name, value in API.items() if name != "kind"} | {"batch_discount_percent": "50"}
    address = reverse("catalog:quote_api", args=[acme.slug])
    assert client.post(address, form).status_code == 302
    assert "entered already" in client.post(address, form).content.decode()
    quote = Quote.objects.get()
    assert (quote.batch_discount, quote.created_by) == (Decimal("0.5"), alice)
    page = client.get(reverse("catalog:index", args=[acme.slug]), {"on": "2026-12-02"}).content.decode()
    assert "0.30 in, 1.20 out, USD per million tokens" in page
    assert "In use" in page
    assert client.post(reverse("catalog:quote_withdraw", args=[acme.slug, quote.pk])).status_code == 302
    assert api_priced(acme, DAY)["options"][0]["prices"]["input_usd_per_mtok"] == "0.4"
    assert "Withdrawn on" in client.get(reverse("catalog:index", args=[acme.slug])).content.decode()
    assert Quote.objects.count() == 1


def test_the_page_refuses_at_the_field(acme: Organization, alice: User, log_in: LogIn) -> None:
    form = {name: value for name, value in GPU.items() if name != "kind"} | {"valid_to": "2026-11-30"}
    page = log_in(alice).post(reverse("catalog:quote_gpu", args=[acme.slug]), form).content.decode()
    assert "Must not be before the day" in page
    assert not Quote.objects.exists()


def client_of(organization: Organization, scope: Scope = Scope.PRICES) -> Client:
    _, secret = token_create(organization=organization, name=scope, scopes=[scope], days=1, now=timezone.now())
    return Client(headers={"Authorization": f"Bearer {secret}"})


def post(client: Client, **changes: Any) -> Any:
    said = {name: value for name, value in (API | changes).items() if value is not ...}
    return client.post(ROOT, said, content_type="application/json")


def test_entered_read_and_withdrawn_over_the_api(acme: Organization, charlie: User) -> None:
    client = client_of(acme)
    made = post(client)
    assert made.status_code == 201
    quote = made.json()
    assert (quote["input_usd_per_mtok"], quote["cached_input_usd_per_mtok"]) == ("0.3", None)
    rival = client_of(Organization.objects.get(slug="rival"))
    address = f"{ROOT}/{quote['id']}"
    assert [c.get(address).status_code for c in (client, rival, client_of(acme, Scope.SPEND))] == [200, 404, 403]
    assert rival.delete(address).status_code == 404
    assert client.delete(address).json()["withdrawn_at"]
    assert client.delete(address).status_code == 400
    assert [each["id"] for each in client.get(ROOT).json()["results"]] == [quote["id"]]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"input": ...}, "input", "never 0"),
        ({"input": "nan"}, "input", "from 0 to"),
        ({"input": "-1"}, "input", "from 0 to"),
        ({"input": "1e400000"}, "input", "from 0 to"),
        ({"input": "1e-400"}, "input", "9 decimals"),
        ({"input": True}, "input", "number"),
        ({"input": "one"}, "input", "is no number"),
        ({"unit": "gpu_hour"}, "unit", "mtok, ktok"),
        ({"kind": "cpu"}, "kind", "api, gpu"),
        ({"source": " "}, "source", "empty"),
        ({"source": "a\nb"}, "source", "one line"),
        ({"provider": "x" * 121}, "provider", "at most 120"),
        ({"valid_from": "1 December"}, "valid_from", "such as"),
        ({"valid_to": "2026-11-30"}, "valid_to", "before the day"),
        ({"batch_discount": 1}, "batch_discount", "less than all"),
        ({"rent": 2}, "rent", "Belongs to a GPU"),
        ({"discount": 2}, "discount", "not known"),
        ({"kind": "gpu", "unit": "gpu_hour", "rent": 2, "input": ..., "output": ..., "item": "H900"}, "item", "H100"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_at_its_field(acme: Organization, changes: Any, field: str, said: str) -> None:
    answer = post(client_of(acme), **changes)
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["attr"], said in error["detail"]) == (field, True), error
    assert not Quote.objects.exists()
