"""What leaves as CSV."""

from decimal import Decimal

from costadvisor.common.spreadsheet import csv_text


def test_text_that_would_run_is_defused_and_numbers_are_not() -> None:
    rows: list[list[object]] = [
        ["=HYPERLINK(1)", "+1 to come", "-5", "-5 %", "@x", "\tx"],
        [-1.5, Decimal("-2.50"), None, "plain", "a,b", "-inf"],
    ]
    assert csv_text(["=a", "b", "c", "d", "e", "f"], rows).splitlines() == [
        "'=a,b,c,d,e,f",
        "'=HYPERLINK(1),'+1 to come,-5,'-5 %,'@x,'\tx",
        '-1.5,-2.50,,plain,"a,b",\'-inf',
    ]
