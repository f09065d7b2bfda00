from datetime import date
from decimal import Decimal

import genai_prices
import pytest

from costadvisor.catalog.api_prices import (
    PACKAGE_CHECKED_ON,
    UnknownPriceError,
    api_price_get,
    price_usage,
)

NOVEMBER = date(2026, 11, 1)


def test_a_list_price_carries_its_source_and_the_day_it_is_known_of() -> None:
    price = api_price_get(provider="openai", model="gpt-4o-mini", on=NOVEMBER)
    assert (price.rates.input_usd_per_mtok, price.rates.output_usd_per_mtok) == (
        Decimal("0.15"),
        Decimal("0.6"),
    )
    assert price.rates.cached_input_usd_per_mtok == Decimal("0.075")
    assert price.batch_discount == Decimal("0.5")
    assert (price.source, price.as_of) == (f"genai-prices {genai_prices.__version__}", PACKAGE_CHECKED_ON)


def test_the_packages_last_check_is_the_newest_day_a_price_can_claim() -> None:
    price = api_price_get(provider="openai", model="gpt-4o-mini", on=date(2030, 1, 1))
    assert price.as_of == PACKAGE_CHECKED_ON
    # an upgrade of the package must look up when its prices were last checked
    assert genai_prices.__version__ == "0.2.3"


@pytest.mark.parametrize(
    ("model", "on", "known_on"),
    [
        ("gpt-4o-mini", date(2019, 1, 1), PACKAGE_CHECKED_ON),
        ("meta-llama/llama-3.1-8b-instruct", date(2019, 1, 1), date(2026, 10, 18)),
        ("meta-llama/llama-3.1-8b-instruct", date(2026, 10, 18), date(2026, 10, 18)),
        ("meta-llama/llama-3.1-8b-instruct", NOVEMBER, NOVEMBER),
    ],
    ids=["no start known", "long before the first start", "the day before it", "after it"],
)
def test_a_price_claims_no_day_before_the_first_that_the_package_knows(model: str, on: date, known_on: date) -> None:
    provider = "openrouter" if "/" in model else "openai"
    assert api_price_get(provider=provider, model=model, on=on).as_of == known_on


def test_prices_go_by_the_day() -> None:
    model = "meta-llama/llama-3.1-8b-instruct"
    before = api_price_get(provider="openrouter", model=model, on=date(2026, 10, 18))
    after = api_price_get(provider="openrouter", model=model, on=date(2026, 10, 19))
    assert (before.rates.input_usd_per_mtok, after.rates.input_usd_per_mtok) == (
        Decimal("0.02"),
        Decimal("0.05"),
    )


def test_a_host_outside_the_package_is_priced_from_the_snapshot_from_its_day_on() -> None:
    price = api_price_get(provider="alibaba", model="qwen/qwen3-8b", on=NOVEMBER)
    assert price.as_of == date(2026, 10, 7)
    assert price.rates.cache_read_usd_per_mtok == price.rates.input_usd_per_mtok
    with pytest.raises(UnknownPriceError, match="known is of 2026-10-07, later than 2026-10-06"):
        api_price_get(provider="alibaba", model="qwen/qwen3-8b", on=date(2026, 10, 6))


@pytest.mark.parametrize(
    ("provider", "model", "hint"),
    [
        (
            "opena",
            "gpt-4o-mini",
            "no list price of opena / gpt-4o-mini is known for 2026-11-01; did you mean openai?",
        ),
        ("openai", "gpt-99", "did you mean gpt-5"),
        ("openai", "no-such-model", "no list price of openai / no-such-model is known for 2026-11-01$"),
    ],
)
def test_an_unknown_price_is_one_clear_error(provider: str, model: str, hint: str) -> None:
    with pytest.raises(UnknownPriceError, match=hint.replace("?", r"\?")):
        api_price_get(provider=provider, model=model, on=NOVEMBER)


def usd(*, batch: bool = False, cache_write_5m: int = 0) -> Decimal | None:
    return price_usage(
        provider="openai", model="gpt-4.1-mini", on=NOVEMBER, requests=1_000, batch=batch,
        input_uncached=700_000, cache_read=300_000, output=200_000, cache_write_5m=cache_write_5m,
    )  # fmt: skip


def test_usage_is_priced_by_kind_of_token() -> None:
    assert usd() == Decimal("0.7") * Decimal("0.4") + Decimal("0.3") * Decimal("0.1") + Decimal("0.2") * Decimal("1.6")


def test_batch_halves_what_is_published_for_batch_and_leaves_cached_input_alone() -> None:
    assert usd(batch=True) == Decimal("0.7") * Decimal("0.2") + Decimal("0.03") + Decimal("0.2") * Decimal("0.8")


def test_what_is_not_known_is_not_free() -> None:
    assert usd(cache_write_5m=1) is None
    batch_before_the_record = price_usage(
        provider="openai", model="gpt-4.1-mini", on=date(2026, 9, 1),
        input_uncached=1, cache_read=0, output=1, batch=True,
    )  # fmt: skip
    assert batch_before_the_record is None
    unknown = price_usage(provider="openai", model="x", on=NOVEMBER, input_uncached=1, cache_read=0, output=1)
    assert unknown is None


def test_long_context_rates_take_the_mean_request() -> None:
    def sonnet(requests: int) -> Decimal | None:
        return price_usage(
            provider="anthropic", model="claude-sonnet-4-5", on=date(2026, 3, 1),
            input_uncached=1_000_000, cache_read=0, output=0, requests=requests,
        )  # fmt: skip

    assert (sonnet(5), sonnet(4)) == (Decimal(3), Decimal(6))
