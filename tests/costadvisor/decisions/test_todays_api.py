"""k, the ratio of what was billed to what the same use lists at."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from costadvisor.decisions.todays_api import billed_models, reconcile
from costadvisor.decisions.written import api_option, with_option, with_option_changed
from costadvisor.spend.month import UsageMonth, following


def month(number: int, cost: str | None = "2.00", **changes: object) -> UsageMonth:
    """A month of gpt-4.1-mini that lists at 1 x $0.40 + 1 x $0.10 + 1 x $1.60 = $2.10."""
    start = date(2026, number, 1)
    whole = UsageMonth(
        month=start,
        provider="openai",
        model="gpt-4.1-mini",
        source="template_csv",
        currency="USD" if cost else "",
        first_start=datetime(2026, number, 1, tzinfo=UTC),
        last_end=datetime.combine(following(start), datetime.min.time(), UTC),
        requests=1000,
        input_uncached=1_000_000,
        cache_read=1_000_000,
        cache_write_5m=None,
        cache_write_1h=None,
        output=1_000_000,
        cost=Decimal(cost) if cost else None,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def k_of(*months: UsageMonth) -> Decimal | None:
    found = reconcile(months, provider="openai", model="gpt-4.1-mini")
    return None if found is None else found.k


def test_k_is_billed_over_listed_of_the_last_three_whole_months() -> None:
    found = reconcile(
        [month(6, "99"), month(7, "1.05"), month(8, "2.10"), month(9, "3.15")], provider="openai", model="gpt-4.1-mini"
    )
    assert found is not None
    assert (found.k, found.billed_usd, found.priced_usd) == (Decimal(1), Decimal("6.30"), Decimal("6.30"))
    assert found.evidence == {
        "grade": "B", "basis": "billed",
        "source": "$6.30 for what lists at $6.30, Jul 2026 to Sep 2026; 0.5 to 1.5 month by month",
        "as_of": "2026-09-30",
    }  # fmt: skip


def test_k_is_as_uncertain_as_its_months_differ() -> None:
    uneven = reconcile([month(7, "1.05"), month(8, "2.31")], provider="openai", model="gpt-4.1-mini")
    assert uneven
    assert uneven.bounds == (Decimal("0.5"), Decimal("0.8"), Decimal("1.1"))
    for alike in ([month(8, "1.05")], [month(7, "1.05"), month(8, "1.05")]):
        found = reconcile(alike, provider="openai", model="gpt-4.1-mini")
        assert found
        assert found.bounds is None
        assert "month by month" not in found.evidence["source"]


def test_the_range_of_k_comes_into_the_case_and_goes_with_another_k() -> None:
    evidence = {"grade": "B", "basis": "billed", "source": "the bill"}
    bounds = (Decimal("0.8"), Decimal("0.9"), Decimal("1"))
    known = api_option(
        provider="openai", model="gpt-4.1-mini", source="alice", reconciliation=(Decimal("0.9"), evidence, bounds)
    )
    case = with_option({"options": [], "evidence": {}}, known)
    assert case["uncertainty"] == {"/options/openai/reconciliation_factor": [0.8, 0.9, 1.0]}
    assert with_option_changed(case, "openai", known)["uncertainty"] == case["uncertainty"]
    typed = api_option(provider="openai", model="gpt-4.1-mini", source="alice")
    assert with_option_changed(case, "openai", typed)["uncertainty"] == {}


@pytest.mark.parametrize(
    "without",
    [
        month(9, None),
        month(9, currency="EUR"),
        month(9, output=None),
        month(9, last_end=datetime(2026, 9, 20, tzinfo=UTC)),
        month(9, provider="nobody"),
        month(9, "0"),
    ],
)
def test_what_cannot_be_held_against_list_gives_no_k(without: UsageMonth) -> None:
    assert k_of(without) is None


def test_a_month_with_money_of_other_use_is_left_out() -> None:
    fees = month(9, "40", source="other", input_uncached=None, output=None, requests=None)
    assert k_of(month(8, "1.05"), month(9, "2.10"), fees) == Decimal("0.5")


def test_the_dearest_model_comes_first() -> None:
    dear = month(8, "50", model="gpt-4.1")
    assert billed_models([month(8), dear, month(9)]) == [("openai", "gpt-4.1"), ("openai", "gpt-4.1-mini")]
