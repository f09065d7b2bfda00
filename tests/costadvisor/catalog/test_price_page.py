"""The page of prices: what was known on a day, from where, and how old it was."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from costadvisor.accounts.models import Organization, User
from costadvisor.catalog.ages import age_days, is_stale
from costadvisor.catalog.lookup import api_lines, host_lines, offer_lines
from costadvisor.catalog.snapshot import snapshot
from tests.conftest import LogIn

ON = date(2026, 11, 21)


def test_a_price_is_old_on_the_day_after_its_age_is_used_up(settings: Any) -> None:
    settings.PRICE_MAX_AGE_DAYS = {"api": 30, "gpu": 60}
    read = date(2026, 10, 1)
    last = date.fromordinal(read.toordinal() + 60)
    assert not is_stale(read, last, "gpu")
    assert is_stale(read, date.fromordinal(last.toordinal() + 1), "gpu")
    assert is_stale(read, last, "api")
    assert age_days(last, read) == 0


def test_an_offer_shows_its_newest_price_and_the_one_before() -> None:
    line = next(
        line
        for line in offer_lines(snapshot(), ON, "H100")
        if (line.offer.provider, line.offer.offer) == ("runpod secure", "H100 SXM")
    )
    assert line.offer.usd_per_hour == Decimal("3.99")
    assert line.before is not None
    assert line.before.usd_per_hour == Decimal("3.49")
    assert {line.offer.gpu for line in offer_lines(snapshot(), ON, "H100")} == {"H100"}


def test_a_later_price_is_not_known_earlier() -> None:
    earlier = offer_lines(snapshot(), date(2026, 10, 1), "H100")
    assert all(line.offer.as_of <= date(2026, 10, 1) for line in earlier)


def test_all_words_must_be_in_a_models_name() -> None:
    lines, matching = api_lines(snapshot(), ON, "OpenAI gpt-4.1-mini")
    assert matching >= 1
    assert any((line.price.provider, line.price.model) == ("openai", "gpt-4.1-mini") for line in lines)
    assert api_lines(snapshot(), ON, "openai no-such-model") == ([], 0)
    assert api_lines(snapshot(), ON, "") == ([], 0)


def test_each_host_is_listed_once_and_an_unknown_price_is_no_zero() -> None:
    known = list(host_lines(snapshot(), ON))
    before_any = list(host_lines(snapshot(), date(2020, 1, 1)))
    assert len(known) == len({(line.model, line.provider, line.provider_model) for line in known})
    hosted = [line for line in before_any if line.provider == "alibaba" and line.provider_model == "qwen/qwen3-8b"]
    assert [line.price for line in hosted] == [None]


@pytest.mark.django_db
def test_the_page_says_source_age_and_what_is_old(acme: Organization, alice: User, log_in: LogIn) -> None:
    client, address = log_in(alice), reverse("catalog:index", args=[acme.slug])
    page = client.get(address, {"on": "2026-11-21", "q": "openai gpt-4.1-mini", "gpu": "H100"}).content.decode()
    assert "runpod secure" in page
    assert "genai-prices " in page
    assert '<td class="number">1.6</td>' in page  # to the last digit, with no zeros behind it
    assert "older than 45 days" in page
    assert "RTX 4090 <span" not in page
    earlier = client.get(address, {"on": "2026-09-24", "gpu": "H100"}).content.decode()
    assert "runpod secure" not in earlier


@pytest.mark.django_db
def test_a_day_that_cannot_be_read_is_refused_in_words(acme: Organization, alice: User, log_in: LogIn) -> None:
    answer = log_in(alice).get(reverse("catalog:index", args=[acme.slug]), {"on": "<script>", "q": "<b>"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "cannot be read" in page
    assert "<b>" not in page
