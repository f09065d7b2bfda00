"""Our template CSV: what a line means, and what is said about one that cannot be used."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costadvisor.spend.formats import template_csv
from costadvisor.spend.formats.reading import Reading
from costadvisor.spend.formats.template_csv import COLUMNS
from tests.costadvisor.spend.read import detect, reading

HEADER = ",".join(COLUMNS)
TODAY = date(2026, 11, 21)
GOOD = "2026-10,OpenAI,gpt-4o-mini,1000,5000,2000,700,12.5,USD"


def parsed(*lines: str, header: str = HEADER) -> Reading:
    return read("\n".join((header, *lines)).encode())


def read(content: bytes) -> Reading:
    return reading(content, template_csv, today=TODAY)


def test_a_line_is_understood_with_cached_tokens_inside_the_input() -> None:
    row = parsed(GOOD).rows[0]
    assert (row.provider, row.model, row.requests) == ("openai", "gpt-4o-mini", 1000)
    assert (row.input_uncached, row.cache_read, row.input_tokens, row.output) == (3000, 2000, 5000, 700)
    assert (row.cost, row.currency, row.cost_basis) == (Decimal("12.5"), "USD", "billed")
    assert (row.period_start.isoformat(), row.period_end.isoformat()) == (
        "2026-10-01T00:00:00+00:00",
        "2026-11-01T00:00:00+00:00",
    )


def test_an_empty_cell_is_unknown_and_not_zero() -> None:
    row = parsed("2026-10,openai,,,5000,,,,").rows[0]
    assert (row.requests, row.cache_read, row.output, row.cost, row.currency) == (None, None, None, None, "")
    assert row.input_uncached == 5000


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("2026-13,openai,m,1,2,1,3,4,USD", "month", "“2026-13” is not a month"),
        ("10/2026,openai,m,1,2,1,3,4,USD", "month", "write year and month such as 2026-10"),
        ("2026-10,,m,1,2,1,3,4,USD", "provider", "is empty"),
        ("2026-10,openai,m,1.5,2,1,3,4,USD", "requests", "“1.5” is not a whole number"),
        ("2026-10,openai,m,-1,2,1,3,4,USD", "requests", "not a whole number"),
        ("2026-10,openai,m,1,2,3,3,4,USD", "cached_input_tokens", "must include the cached ones"),
        ("2026-10,openai,m,1,,3,3,4,USD", "cached_input_tokens", "must include the cached ones"),
        ("2026-10,openai,m,1,2,1,3,$4,USD", "cost", "“$4” is not an amount"),
        ('2026-10,openai,m,1,2,1,3,"1,000.00",USD', "cost", "without sign of currency or separators"),
        ("2026-10,openai,m,1,2,1,3,nan,USD", "cost", "not an amount"),
        ("2026-10,openai,m,1,2,1,3,1e9,USD", "cost", "not an amount"),
        ("2026-10,openai,m,1,2,1,3,=1+1,USD", "cost", "not an amount"),
        ("2026-10,openai,m,1,2,1,3,4,XXX", "currency", "“XXX” is not a currency known here"),
        ("2026-10,openai,m,1,2,1,3,4,", "currency", "an amount needs its currency"),
        ("2026-10,openai,m,,,,,,", "cost", "give at least one of them"),
        ("2026-10,openai,m,1,2,1,3,4", "line", "has 8 cells where the header has 9"),
        ("2026-10,openai,a\x07b,1,2,1,3,4,USD", "model", "printable"),
        ("²026-10,openai,m,1,2,1,3,4,USD", "month", "not a month"),
    ],
)
def test_a_bad_line_is_named_and_the_good_ones_are_kept(line: str, field: str, reason: str) -> None:
    result = parsed(GOOD, line, GOOD)
    assert result.row_count == 2
    (problem,) = result.problems
    assert (problem.where, problem.field) == ("line 3", field)
    assert reason in problem.reason


def test_line_numbers_count_line_breaks_inside_quotes_and_empty_lines() -> None:
    result = parsed('2026-10,openai,"two\nlines",1,2,1,3,4,USD', "", "2026-10,openai,m,x,2,1,3,4,USD")
    assert [(problem.where, problem.field) for problem in result.problems] == [
        ("line 2", "model"),
        ("line 5", "requests"),
    ]


def test_a_quote_left_open_is_one_problem_and_what_came_before_is_kept() -> None:
    result = parsed(GOOD, '2026-10,openai,"open,1,2,1,3,4,USD')
    assert len(result.rows) == 1
    assert result.problems[0].where == "line 3"
    assert "cannot be read as CSV" in result.problems[0].reason


def test_a_cell_that_looks_like_a_formula_stays_text() -> None:
    assert parsed('2026-10,openai,"=HYPERLINK(""http://x"")",1,2,1,3,4,USD').rows[0].model == '=HYPERLINK("http://x")'


def test_missing_and_doubled_columns_are_named() -> None:
    assert [problem.field for problem in parsed(header="cost,currency,model,requests").problems] == [
        "month",
        "provider",
    ]
    assert parsed(header=f"{HEADER},cost").problems[0].reason.startswith("column is there twice")


def test_a_column_we_do_not_know_is_left_out_with_a_notice() -> None:
    result = parsed(f"{GOOD},ann@example.com", header=f"{HEADER},owner_email")
    assert len(result.rows) == 1
    assert result.notices == ("Columns not used: owner_email.",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_may_save_with_other_separators_and_a_byte_order_mark(delimiter: str) -> None:
    content = "\ufeff" + f"{HEADER}\r\n{GOOD}\r\n".replace(",", delimiter)
    assert detect(content.encode()) == "template_csv"
    assert len(read(content.encode()).rows) == 1


def test_a_file_that_is_not_utf8_is_one_clear_problem() -> None:
    result = read(f"{HEADER}\n2026-10,openai,modèle,1,2,1,3,4,USD".encode("latin-1"))
    assert (result.rows, result.problems[0].field) == ((), "file")
    assert "CSV UTF-8" in result.problems[0].reason


COUNTS = st.integers(0, 10**12)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(COUNTS, COUNTS, COUNTS, st.decimals(-(10**6), 10**6, places=9)),
        min_size=1,
        max_size=20,
    )
)
def test_the_sum_of_the_rows_is_the_sum_of_the_file(lines: list[tuple[int, int, int, Decimal]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for requests, uncached, cached, cost in lines:
        writer.writerow(["2026-10", "p", "m", requests, uncached + cached, cached, 1, f"{cost:f}", "EUR"])
    rows = read(file.getvalue().encode()).rows
    assert sum((row.cost or Decimal(0)) for row in rows) == sum(line[3] for line in lines)
    assert sum(row.input_tokens or 0 for row in rows) == sum(line[1] + line[2] for line in lines)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_parser_fail(content: bytes) -> None:
    detect(content)
    read(HEADER.encode() + b"\n" + content)
    read(content)


def test_a_month_that_begins_in_the_future_is_a_problem_of_its_line() -> None:
    result = parsed(GOOD, GOOD.replace("2026-10", "2027-10"), GOOD.replace("2026-10", "2026-11"))
    assert [row.period_start.date() for row in result.rows] == [date(2026, 10, 1), date(2026, 11, 1)]
    (problem,) = result.problems
    assert (problem.where, problem.field) == ("line 3", "period")
    assert problem.reason == "2027-10-01 lies in the future; today is 2026-11-21"
