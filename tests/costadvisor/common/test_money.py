"""Money as people read it, and as it is stored."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costadvisor.common.fields import PLACES, MoneyField
from costadvisor.common.money import amount_text, money_in_prose, money_text

AMOUNTS = st.decimals(min_value=-9_000_000_000, max_value=9_000_000_000, places=PLACES)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("1234.565"), "$1,234.57"),
        (Decimal("-0.5"), "−$0.50"),
        (Decimal("-0.001"), "$0.00"),
        (Decimal(0), "$0.00"),
        (None, "unknown"),
    ],
)
def test_money_is_shown_to_the_cent_and_unknown_never_as_zero(amount: Decimal | None, text: str) -> None:
    assert money_text(amount, "USD") == text


def test_a_currency_without_a_sign_of_its_own_is_named() -> None:
    assert money_text(Decimal("-12"), "CNY") == "−CNY 12.00"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("12345.67", "$12,300"),
        ("999.6", "$1,000"),
        ("99.996", "$100.00"),
        ("30.281", "$30.28"),
        ("-1.5", "−$1.50"),
        ("0.4", "$0.40"),
        ("0.04512", "$0.0451"),
        ("0", "$0.00"),
    ],
)
def test_prose_has_three_significant_digits_and_never_one_decimal(amount: str, text: str) -> None:
    assert money_in_prose(Decimal(amount), "USD") == text


@given(AMOUNTS)
def test_stored_money_comes_back_exactly(amount: Decimal) -> None:
    field = MoneyField(null=True)
    assert field.from_db_value(field.get_prep_value(amount)) == amount


@given(AMOUNTS)
def test_a_table_amount_reads_back_within_half_a_cent(amount: Decimal) -> None:
    shown = Decimal(amount_text(amount).replace(",", "").replace("−", "-"))
    assert abs(shown - amount) <= Decimal("0.005")
