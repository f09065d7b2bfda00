"""`refresh_prices` against a server on loopback that has the file, or fails in one of the ways that servers fail."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from costadvisor.catalog.api_prices import PACKAGE_CHECKED_ON, api_price_get
from costadvisor.catalog.facts import ApiPrice
from costadvisor.catalog.lookup import offer_lines
from costadvisor.catalog.models import PriceChange, PriceCheck
from costadvisor.catalog.selectors import catalog_known
from tests.costadvisor.catalog.price_server import PriceServer, price_server, send

FIRST, LATER = datetime(2026, 12, 1, 9, tzinfo=UTC), datetime(2026, 12, 8, 9, tzinfo=UTC)
PROVIDER, MODEL = "mistral", "mistral-nemo"
pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[PriceServer]:
    with price_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_gpuhunt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpuhunt", None)


def refresh(server: PriceServer, *flags: str, at: datetime = FIRST) -> str:
    said = StringIO()
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(timezone, "now", lambda: at)
        call_command("refresh_prices", f"--url={server.url}", *flags, stdout=said)
    return said.getvalue()


def price(on: date, name: tuple[str, str] = (PROVIDER, MODEL)) -> ApiPrice:
    return api_price_get(provider=name[0], model=name[1], on=on, catalog=catalog_known(organization=None, on=on))


def reprice(server: PriceServer, usd: float, **more: Any) -> None:
    server.model(PROVIDER, MODEL)["prices"] = {"input_mtok": usd, "output_mtok": 2 * usd} | more


def test_a_list_that_says_the_same_confirms_prices_and_changes_none(server: PriceServer) -> None:
    before = price(FIRST.date())
    said = refresh(server)
    after = price(FIRST.date())
    assert "0 changed" in said
    assert PriceChange.objects.count() == 0
    assert (before.as_of, after.as_of) == (PACKAGE_CHECKED_ON, FIRST.date())
    assert after.rates == before.rates
    assert price(PACKAGE_CHECKED_ON).as_of == PACKAGE_CHECKED_ON  # what was not known then


def test_a_change_is_a_row_with_source_and_time_and_history_stays(server: PriceServer) -> None:
    was = price(FIRST.date()).rates
    reprice(server, 0.37)
    said = refresh(server)
    row = PriceChange.objects.get()
    assert f"{PROVIDER} / {MODEL}" in said
    assert "0.37 in, 0.74 out" in said
    assert (row.valid_from, row.check_of.read_at, row.check_of.origin) == (FIRST.date(), FIRST, server.url)
    assert price(FIRST.date()).rates.input_usd_per_mtok == Decimal("0.37")
    assert price(date(2026, 11, 30)).rates == was
    reprice(server, 0.31)
    refresh(server, at=LATER)
    known = [price(on).rates.input_usd_per_mtok for on in (date(2026, 11, 30), date(2026, 12, 7), LATER.date())]
    assert known == [was.input_usd_per_mtok, Decimal("0.37"), Decimal("0.31")]


def test_a_repeated_run_changes_nothing(server: PriceServer) -> None:
    reprice(server, 0.37)
    refresh(server)
    stored = [list(PriceChange.objects.values()), list(PriceCheck.objects.values())]
    assert "0 changed" in refresh(server)
    assert [list(PriceChange.objects.values()), list(PriceCheck.objects.values())] == stored


def test_a_dry_run_says_the_same_and_stores_nothing(server: PriceServer) -> None:
    reprice(server, 0.37)
    said = refresh(server, "--dry-run")
    assert "1 would change" in said
    assert "nothing was stored" in said
    assert "0.37 in" in said
    assert not PriceCheck.objects.exists()


def test_a_start_that_the_list_dates_is_the_day_of_the_change(server: PriceServer) -> None:
    old = server.model(PROVIDER, MODEL)["prices"]
    new = {"constraint": {"start_date": "2026-11-20"}, "prices": {"input_mtok": 0.2, "output_mtok": 0.4}}
    server.model(PROVIDER, MODEL)["prices"] = [{"prices": old}, new]
    refresh(server)
    assert PriceChange.objects.get().valid_from == date(2026, 11, 20)
    assert price(date(2026, 11, 20)).rates.input_usd_per_mtok == Decimal("0.2")
    assert price(date(2026, 11, 19)).rates.input_usd_per_mtok != Decimal("0.2")


def test_a_new_model_is_priced_by_its_own_row(server: PriceServer) -> None:
    """Its name begins like an older one's, by which the package would know it."""
    models = next(known["models"] for known in server.file if known["id"] == "openai")
    models.append(
        {"id": "gpt-4.1-mini-x", "match": {"equals": "gpt-4.1-mini-x"}, "prices": {"input_mtok": 9, "output_mtok": 9}}
    )
    refresh(server)
    assert PriceChange.objects.get().before is None
    assert price(FIRST.date(), ("openai", "gpt-4.1-mini-x")).rates.input_usd_per_mtok == 9
    assert price(FIRST.date(), ("openai", "gpt-4.1-mini")).rates.input_usd_per_mtok == Decimal("0.4")


def test_a_model_that_is_gone_keeps_its_price_which_ages(server: PriceServer) -> None:
    refresh(server)
    models = next(known["models"] for known in server.file if known["id"] == PROVIDER)
    models.remove(server.model(PROVIDER, MODEL))
    said = refresh(server, at=LATER)
    assert f"no longer listed, their last price ages: 1 ({PROVIDER} / {MODEL})" in said
    assert price(LATER.date()).as_of == PACKAGE_CHECKED_ON


def half(handler: Any) -> None:
    body = json.dumps(handler.server.file).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def odd(**prices: Any) -> Any:
    def answer(handler: Any) -> None:
        handler.server.model(PROVIDER, MODEL)["prices"] = prices
        send(handler, json.dumps(handler.server.file).encode())

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (half, "broke off before its end"),
        (lambda handler: send(handler, b"<html>a proxy's page</html>"), "cannot be read as prices"),
        (lambda handler: send(handler, b'{"providers": []}'), "is no list of providers"),
        (lambda handler: send(handler, b'[{"id": 1}]'), "cannot be read as prices"),
        (lambda handler: send(handler, b"[" * 100_000), "cannot be read as prices"),
        (lambda handler: send(handler, b"[]"), "it is not the whole list"),
        (lambda handler: send(handler, json.dumps(handler.server.file[:3]).encode()), "it is not the whole list"),
        (lambda handler: send(handler, b" " * 2_000_000), "is larger than"),
        (lambda handler: send(handler, b"", status=302, Location="http://169.254.169.254/"), "leads to another addr"),
        (lambda handler: send(handler, b"", status=503), "answered 503"),
        (odd(input_mtok=-1, output_mtok=1), "has the price -1"),
        (odd(input_mtok=float("nan"), output_mtok=1), "can"),
    ],
    ids=(
        "half", "not_json", "not_a_list", "no_provider", "too_deep", "empty", "few_providers", "huge", "redirect",
        "server_error", "negative", "not_a_number",
    ),
)  # fmt: skip
def test_what_cannot_be_trusted_stores_nothing(server: PriceServer, answer: Any, said: str, settings: Any) -> None:
    settings.PRICES_MAX_BYTES = 1_500_000
    reprice(server, 0.37)
    server.answer = answer
    with pytest.raises(CommandError, match=said) as raised:
        refresh(server)
    assert "Nothing was stored" in str(raised.value)
    assert "proxy" not in str(raised.value)
    assert len(server.asked) == 1
    assert not PriceCheck.objects.exists()


def test_a_server_that_is_down_stores_nothing(server: PriceServer) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(CommandError, match=r"could not be reached \(ConnectionRefusedError\)"):
        refresh(server)
    assert not PriceCheck.objects.exists()


def item(**changes: Any) -> SimpleNamespace:
    """As gpuhunt 0.1.34 gives them."""
    known = {"provider": "azure", "instance_name": "Standard_NC24ads_A100_v4", "location": "eastus", "price": 3.673}
    return SimpleNamespace(**known | {"spot": False, "gpu_count": 1} | changes)


def gpuhunt(*items: SimpleNamespace) -> ModuleType:
    module = ModuleType("gpuhunt")
    module.Catalog = lambda balance_resources: SimpleNamespace(query=lambda min_gpu_count: list(items))  # type: ignore[attr-defined]
    return module


def test_without_gpuhunt_it_says_so(server: PriceServer) -> None:
    assert "gpuhunt is not installed" in refresh(server)


def test_rents_of_known_machines_are_taken_from_gpuhunt(server: PriceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    others = (
        item(location="westus", price=9.0),
        item(instance_name="unheard-of", price=1.0),
        item(spot=True, price=0.5),
    )
    monkeypatch.setitem(sys.modules, "gpuhunt", gpuhunt(item(), *others))
    refresh(server)
    monkeypatch.setitem(sys.modules, "gpuhunt", gpuhunt(item(price=4.25), *others))
    said = refresh(server, at=LATER)
    assert "azure / Standard_NC24ads_A100_v4 (eastus, on demand): 3.673 → 4.25, USD an hour, from 2026-12-08" in said
    known = [
        (line.offer.usd_per_hour, line.offer.as_of, line.before and line.before.usd_per_hour)
        for on in (date(2026, 11, 30), date(2026, 12, 7), LATER.date())
        for line in offer_lines(catalog_known(organization=None, on=on), on)
        if line.offer.offer == "Standard_NC24ads_A100_v4"
    ]
    was, now = Decimal("3.673"), Decimal("4.25")
    assert known == [(was, date(2026, 11, 9), None), (was, FIRST.date(), was), (now, LATER.date(), was)]


def test_all_or_nothing_where_gpuhunt_fails(server: PriceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reprice(server, 0.37)
    broken = ModuleType("gpuhunt")
    monkeypatch.setitem(sys.modules, "gpuhunt", broken)
    with pytest.raises(CommandError, match="gpuhunt failed"):
        refresh(server)
    assert not PriceCheck.objects.exists()
