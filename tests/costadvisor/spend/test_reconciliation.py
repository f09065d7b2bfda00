"""Billed against priced at list: the sums by hand, what explains a factor, and what cannot be compared."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.common.refusal import Refusal
from costadvisor.spend.reconciliation import DayOfUse, at_list, reconcile
from costadvisor.spend.selectors import days_of_use
from costadvisor.spend.services import import_commit, upload_create
from tests.costadvisor.spend.test_formats import BILLS

LogIn = Callable[[User], Client]
# gpt-4o-mini at list: 0.15 USD for a million tokens in, 0.075 cached, 0.60 out; half of it in batch.
USE = DayOfUse(
    day=date(2026, 10, 5), provider="openai", model="gpt-4o-mini", source="openai_usage", tier="default", batch=False,
    currency="", requests=1000, input_uncached=6_000_000, cache_read=4_000_000, cache_write_5m=0, cache_write_1h=0,
    output=1_000_000, billed=None, credits=None,
)  # fmt: skip
BILL = replace(
    USE, source="openai_costs", currency="USD", requests=None, input_uncached=0, cache_read=0, output=0,
    billed=Decimal("1.62"), tier="",
)  # fmt: skip


def test_the_list_takes_off_cached_input() -> None:
    plain, batch = at_list(USE), at_list(replace(USE, cache_read=0, batch=True))
    assert plain is not None
    assert batch is not None
    # 10 × 0.15 + 0.60; 4 × 0.075 less
    assert (plain.full, plain.cached, plain.batch, plain.total) == (
        Decimal("2.1"), Decimal("0.3"), Decimal(0), Decimal("1.8"),
    )  # fmt: skip
    # 6 × 0.15 + 0.60; the catalog has no batch price of it, so the standard one is compared
    assert (batch.full, batch.batch, batch.total) == (Decimal("1.5"), Decimal(0), Decimal("1.5"))


def test_use_and_bill_of_two_files_meet_in_one_line() -> None:
    (line,) = reconcile([USE, replace(BILL, model="gpt-4o-mini-2024-07-18")])
    assert (line.billed, line.factor, line.residual) == (Decimal("1.62"), Decimal("0.9"), Decimal("-0.18"))
    assert line.when == date(2026, 10, 1)
    assert "negotiated rate" in line.explanation
    (exact,) = reconcile([USE, replace(BILL, billed=Decimal("1.81"))])
    assert exact.explanation == "the list price explains it"


def test_use_that_came_in_twice_is_priced_once() -> None:
    (line,) = reconcile([USE, replace(USE, source="langfuse", output=900_000), BILL])
    assert line.priced is not None
    assert line.priced.total == Decimal("1.8")


def test_a_tier_with_prices_of_its_own_is_named() -> None:
    (line,) = reconcile([replace(USE, tier="flex-tier"), BILL])
    own = "tier flex-tier, which has prices of its own"
    assert line.explanation == f"{own}: $1.80 at list is its use"
    (line,) = reconcile([replace(USE, tier="flex-tier"), USE, replace(BILL, tier="flex-tier"), BILL])
    assert line.explanation == f"{own}: $1.62 billed, $1.80 at list"


def test_what_the_bill_itself_takes_off_its_list_is_told() -> None:
    bill = replace(BILL, file_list=Decimal("1.80"), file_billed=Decimal("1.62"))
    (line,) = reconcile([USE, bill])
    assert line.negotiated == Decimal("0.18")
    assert line.explanation == "the bill names $0.18 off its own list price"


def test_a_log_that_names_no_seller_meets_the_bill_and_the_list_of_the_models() -> None:
    log = replace(USE, provider="langfuse", source="langfuse", currency="USD", estimated=Decimal("1.79"))
    (alone,) = reconcile([log])
    assert (alone.provider, alone.priced is not None) == ("openai", True)
    assert alone.explanation == "no billed money was imported for it; a tool reckons $1.79"
    (line,) = reconcile([log, BILL])
    assert line.factor == Decimal("0.9")
    (unknown,) = reconcile([replace(log, model="of our own")])
    assert (unknown.provider, unknown.priced) == ("langfuse", None)


def test_list_prices_that_bills_name_are_stored_and_compared(
    acme: Organization, alice: User, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: date(2026, 11, 21))
    for name in ("anthropic_cost_csv.csv", "anthropic_usage_csv.csv"):
        upload = upload_create(organization=acme, actor=alice, file_name=name, content=(BILLS / name).read_bytes())
        import_commit(upload=upload, actor=alice)
        again = upload_create(organization=acme, actor=alice, file_name=name, content=(BILLS / name).read_bytes())
        with pytest.raises(Refusal, match="stored already"):
            import_commit(upload=again, actor=alice)
    lines = reconcile(days_of_use(organization=acme, since=date(2026, 10, 1)))
    # 1.5 − 1.23, 12 − 10.000000001 and 0 − −0.5
    assert [(line.model, line.negotiated) for line in lines if line.negotiated] == [
        ("claude-sonnet-4-5", Decimal("2.769999999")),
    ]


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ([USE], "no billed money was imported for it"),
        ([BILL], "no tokens were imported for it"),
        (
            [USE, replace(BILL, currency="EUR")],
            "list prices are in USD, the bill in EUR, and no rate of that month is confirmed",
        ),
        (
            [replace(USE, model="nothing-like-it"), replace(BILL, model="nothing-like-it")],
            "no list price of it is known",
        ),
    ],
)
def test_what_cannot_be_compared_says_why_and_has_no_factor(use: list[DayOfUse], why: str) -> None:
    (line,) = reconcile(use)
    assert (line.factor, line.residual, line.explanation) == (None, None, why)


def test_the_page_compares_by_month_and_leads_to_the_days(
    acme: Organization, alice: User, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: date(2026, 11, 21))
    content = (
        b"month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens,cost,currency\n"
        b"2026-10,openai,gpt-4o-mini,1000,10000000,4000000,1000000,1.62,USD\n2026-10,openai,,,,,,5,USD\n"
    )
    upload = upload_create(organization=acme, actor=alice, file_name="b", content=content)
    import_commit(upload=upload, actor=alice)
    client = log_in(alice)
    page = client.get("/o/acme/spend/reconciliation/").content.decode()
    days = client.get("/o/acme/spend/reconciliation/?month=2026-10&provider=openai&model=gpt-4o-mini")
    assert "0.900</td>" in page
    assert "−0.18" in page
    assert "no tokens were imported for it" in page
    assert "month=2026-10&amp;provider=openai&amp;model=gpt-4o-mini" in page
    assert "2026-10-01" in days.content.decode()
