"""Every format on a file written from its documentation, with awkward rows. The totals were added up by hand."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.formats.reading import Reading
from costadvisor.spend.formats.registry import FORMATS
from tests.costadvisor.spend.read import reading

BILLS = Path(__file__).parents[3] / "fixtures" / "bills"


@dataclass(frozen=True)
class Expected:
    """`tokens`: input not cached, cache read, written for 5 minutes and for an hour, output."""

    rows: int
    cost: str | None
    tokens: tuple[int, int, int, int, int]
    requests: int | None = None
    notices: tuple[str, ...] = ()


FILES: dict[str, Expected] = {
    # 0.06 + 0.120000000000000000000000000003 − 0.05 + 0.00001 + 0.25 + 3
    "openai_costs.jsonl": Expected(6, "3.380010000000000000000000000003", (0, 0, 0, 0, 0)),
    # 0.123456789012345678901234567891 + 0.000000000000000000000000000009 + 5.5 − 1.5
    "openai_cost_csv.csv": Expected(
        4, "4.1234567890123456789012345679", (1_200_000, 300, 0, 0, 40_000), None, ("1 lines without an amount",)
    ),
    # (5000 − 2000) + 100 + 5000; 2000 + 0; 700 + 9 + 700; 10 + 1 + 10 requests
    "openai_usage.json": Expected(3, None, (8100, 2000, 0, 0, 1409), 21),
    # 1500 + 7; 200; 500 twice; 1000 twice; 500 + 3
    "anthropic_usage.json": Expected(2, None, (1507, 200, 1000, 2000, 503), None, ("10 web searches",)),
    # (123.78912 + 1000 + 250) cents, and 10 to the −30 cents
    "anthropic_cost.json": Expected(4, "13.73789120000000000000000000000001", (0, 0, 0, 0, 0)),
    "anthropic_usage_csv.csv": Expected(3, None, (1517, 200, 500, 1000, 704), None, ("2 web searches",)),
    # 1.23 + 10.000000001 + 0.02 − 0.5
    "anthropic_cost_csv.csv": Expected(4, "10.750000001", (0, 0, 0, 0, 0), None, ("1 lines without an amount",)),
    # 0.0012345678901234567 + 0.000015 + 0; the fourth line is the first one again
    "openrouter_log.csv": Expected(
        3, "0.0012495678901234567", (615, 400, 0, 0, 203), 3, ("own provider keys", "1 requests are in the file twice")
    ),
    "openrouter_activity.json": Expected(2, "0.015010000000000000003", (60, 0, 0, 0, 127), 6),
    # 100 − 40 from the metadata; the second request was answered from LiteLLM's own cache
    "litellm_log.csv": Expected(2, "0.0000165", (60, 40, 0, 0, 20), 2),
    # 1000 − 400 and 500 − 100 − 300; 0.00027 + 0.0015
    "litellm_daily.csv": Expected(2, "0.00177", (700, 500, 300, 0, 250), 13),
    # 60 beside 40 cached, 100 with 40 cached inside, 7
    "langfuse.jsonl": Expected(3, "0.000042", (127, 80, 0, 0, 43), 3, ("1 observations are no generations",)),
    "helicone.csv": Expected(2, "0.000027", (100, 0, 0, 0, 20), 2),
    # 3.703701 + 0.075 + 0.0001 + 0.70 − 1.00; 1234.567, 10 and 0.5 thousand tokens
    "aws_cur.csv": Expected(5, "3.478801", (1_234_567, 500, 0, 0, 10_000), None, ("1 lines of other services",)),
    # 3.75125 + 0.66 + 0.125 + 24; 1500.5 × 1K, 100 × 1K, 2 × 1M
    "azure_costs.csv": Expected(4, "28.53625", (1_500_500, 100_000, 0, 0, 2_000_000), None, ("1 lines of other",)),
    # 4.5 + 1.25 + 0.5 − 2 + 0.9; 2 MTok, 125.5 × 1K, 700
    "focus.csv": Expected(5, "5.15", (2_000_000, 700, 0, 0, 125_500), None, ("1 lines of services that are no AI",)),
    # 0.30 + 2.5 + 0.000011 + 0.19 − 0.1 − 0.05
    "google_billing.csv": Expected(4, "2.840011", (1_000_000, 150, 0, 0, 1_000_000), None, ("1 lines of other",)),
    "deepseek_amount.csv": Expected(4, None, (1000, 600, 0, 0, 200), 12),
    "deepseek_cost.csv": Expected(2, "0.00272000000000000012", (0, 0, 0, 0, 0)),
    # 1234.50 − 34.500000000000000000000000000001; requests of the month are known for two of three lines
    "template_csv.csv": Expected(3, "1199.999999999999999999999999999999", (3_000_002, 2_000_000, 0, 0, 700_003), 1001),
}
NAMED_OTHERWISE = {"deepseek_amount": "deepseek_usage"}


def read(file_name: str) -> Reading:
    return reading((BILLS / file_name).read_bytes())


@pytest.mark.parametrize("file_name", FILES)
def test_a_file_adds_up_to_its_own_totals(file_name: str) -> None:
    expected, found = FILES[file_name], read(file_name)
    stem = file_name.partition(".")[0]
    assert found.format_name == NAMED_OTHERWISE.get(stem, stem)
    assert found.problems == ()
    assert found.row_count == expected.rows
    costs = [row.cost for row in found.rows if row.cost is not None]
    assert (exact_sum(costs) if costs else None) == (None if expected.cost is None else Decimal(expected.cost))
    kinds = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    assert tuple(sum(getattr(row, kind) or 0 for row in found.rows) for kind in kinds) == expected.tokens
    requests = [row.requests for row in found.rows if row.requests is not None]
    assert (sum(requests) if requests else None) == expected.requests
    for notice in expected.notices:
        assert any(notice in said for said in found.notices), found.notices


def test_every_format_has_a_file() -> None:
    stems = {name.partition(".")[0] for name in FILES}
    assert {NAMED_OTHERWISE.get(stem, stem) for stem in stems} == set(FORMATS)


WRONG = [
    # file, what is replaced, by what, where, field, reason
    ("openai_costs.jsonl", '"value": 0.25', '"value": "a lot"', "data[2].results[1]", "amount_value", "not a number"),
    ("openai_costs.jsonl", '"usd"', '"USX"', "data[0].results[0]", "amount.currency", "not a currency"),
    ("openai_cost_csv.csv", ",5.5,USD", ",5;5,USD", "line 4", "amount_value", "not a number"),
    ("openai_cost_csv.csv", "1200000,tokens", "-5,tokens", "line 2", "quantity", "negative"),
    ("openai_usage.json", '"input_cached_tokens": 2000', '"input_cached_tokens": 5001', "data[0].results[0]",
     "input_cached_tokens", "must include"),
    ("anthropic_usage.json", '"output_tokens": 3', '"output_tokens": 3.5', "data[0].results[1]", "output_tokens",
     "whole"),
    ("anthropic_cost.json", '"250"', '"$250"', "data[0].results[3]", "amount", "not a number"),
    ("anthropic_usage_csv.csv", "2026-10-02", "02.10.2026", "line 4", "usage_date_utc", "not a time"),
    ("anthropic_cost_csv.csv", "10.000000001", "ten", "line 3", "cost_usd", "not a number"),
    ("openrouter_log.csv", "gen-2", "", "line 3", "generation_id", "every request has its id"),
    ("openrouter_log.csv", ",10,2,0,,", ",10,2,0,11,", "line 3", "tokens_cached", "includes the cached"),
    ("openrouter_activity.json", '"date": "2026-10-02 00:00:00"', '"date": "10/02"', "data[1]", "date", "not a time"),
    ("litellm_log.csv", "120,100,20", "121,100,20", "line 2", "total_tokens", "together"),
    ("litellm_log.csv", "88dc28d0,0.0,0,0,0", "88dc28d0,0.0,0,0,-1", "line 4", "completion_tokens", "whole number"),
    ("litellm_daily.csv", ",500,50,100,300", ",500,50,300,300", "line 3", "cache_read_input_tokens",
     "includes the cached"),
    ("langfuse.jsonl", '"total": 120}, "cost_details": {"input"', '"total": 121}, "cost_details": {"input"', "line 1",
     "usage_details", "not the sum"),
    ("helicone.csv", "100,20,120", "100,20,12", "line 2", "total_tokens", "together"),
    ("aws_cur.csv", ",0.075,USD", ",0.075,US$", "line 3", "line_item_currency_code", "not a currency"),
    ("aws_cur.csv", ",1234.567,", ",-1234.567,", "line 2", "line_item_usage_amount", "negative"),
    ("azure_costs.csv", "10/30/2026,Cognitive", "30/10/2026,Cognitive", "line 4", "Date", "month/day/year"),
    ("azure_costs.csv", "1K,1500.5", "1K,1.500,5", "line 2", "line", "has 13 cells where the header has 12"),
    ("focus.csv", "10/2/2026 12:00:00 AM,10/1/2026 12:00:00 AM,125.5",
     "10/1/2026 12:00:00 AM,10/1/2026 12:00:00 AM,125.5",
     "line 3", "ChargePeriodEnd", "not after"),
    ("google_billing.csv", '""amount"":-0.05', '""amount"":""gift""', "line 2", "credits", "not a number"),
    ("deepseek_amount.csv", "output_tokens,", "output_token,", "line 5", "type", "no type known"),
    ("deepseek_cost.csv", "granted,0.00000000000000000012,CNY", "granted,0.1,RMB", "line 3", "currency",
     "not a currency"),
    ("template_csv.csv", ";1234.50;", ";1.234,50;", "line 2", "cost", "without sign of currency or separators"),
]  # fmt: skip


@pytest.mark.parametrize(("file_name", "right", "wrong", "where", "field", "reason"), WRONG)
def test_what_is_wrong_is_refused_where_it_stands(
    file_name: str, right: str, wrong: str, where: str, field: str, reason: str
) -> None:
    content = (BILLS / file_name).read_bytes().decode()
    assert right in content
    found = reading(content.replace(right, wrong, 1).encode())
    (problem,) = found.problems
    assert (problem.where, problem.field.lower()) == (where, field.lower())
    assert reason in problem.reason
    assert found.row_count == FILES[file_name].rows - 1
