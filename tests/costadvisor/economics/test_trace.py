"""Each amount with its formula, its terms, their units, and where in the case they were read."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.economics import parse_case
from costadvisor.economics.evaluation import Evaluation, Line
from costadvisor.economics.pointers import pointed
from costadvisor.economics.terms import terms_usd
from tests.costadvisor.economics.cases import Json, answer, api, fleet, row
from tests.costadvisor.economics.test_fuzz import whole_case

relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TIER: Json = {
    "over_input_tokens": 1500,
    "input_usd_per_mtok": "0.30",
    "cached_input_usd_per_mtok": "0.15",
    "output_usd_per_mtok": "1.20",
}
HISTOGRAM = [{"tokens": 500, "share": 0.5}, {"tokens": 1500.1, "share": 0.5}]


def lines(found: Evaluation, id_: str) -> dict[str, Line]:
    return {line.label: line for line in row(found, id_).lines}


def test_the_terms_of_a_row_by_hand() -> None:
    found = answer(api(), fleet(operations={"fte": 0.25}, scaling={"cold_start_s": 90}))
    people = lines(found, "h100")["People"]
    assert people.formula == "0.25 FTE x $200,000 a year / 12"
    assert [(term.value, term.unit, term.divides) for term in people.terms] == [
        (Decimal("0.25"), "FTE", False),
        (Decimal(200_000), "USD a year", False),
        (Decimal(12), "months a year", True),
    ]
    assert people.terms[0].fields == ("/options/h100/operations/fte",)
    tokens = lines(found, "today")["Input tokens"]
    assert tokens.formula == "1,000,000 requests x 1,000 tokens x $0.15 per million"
    assert tokens.terms[-1].value == Decimal("0.00000015")
    assert tokens.terms[-1].unit == "USD per token"


@pytest.mark.parametrize("shape", ["flat", {"peak_to_mean": 3}])
def test_every_row_of_every_kind_is_what_its_terms_come_to(shape: Any) -> None:
    prices = {
        "batch_discount": 0.5,
        "usd_per_request": "0.001",
        "tiers": [TIER],
        "cache_write_usd_per_mtok": "0.19",
        "windows": [{"from_hour_utc": 22, "to_hour_utc": 6, "price_factor": 0.5}],
    }
    written = whole_case()
    written["options"][0]["prices"] |= prices
    spot = {"plan": "spot", "spot": {"fallback_usd_per_hour": "4", "interruptions_per_month": 3}}
    written["options"].append(fleet("spot", hardware=spot, scaling={"cold_start_s": 100}))
    written["workload"] |= {
        "input_tokens": {"mean": 1000.05, "histogram": HISTOGRAM},
        "cache_write_input_share": 0.1,
        "hourly_shape": shape,
    }
    parsed = parse_case(written)
    found = answer(*written["options"], **{key: written[key] for key in written if key != "options"})
    told = [line for option in found.options for line in option.lines]
    assert {"Cache writes", "Time-of-day prices", "Batch discount", "Requests"} <= {line.label for line in told}
    for line in told:
        assert abs(terms_usd(line.terms) - line.usd_per_month) <= Decimal("1e-12")
        assert line.formula.replace(" / ", " x ") == " x ".join(term.text for term in line.terms).replace(" / ", " x ")
        assert all(term.unit for term in line.terms)
        for term in line.terms:
            for field in term.fields:
                pointed(parsed, field)  # LookupError where it points at nothing


@relaxed
@given(
    requests=st.floats(1, 1e8),
    tokens=st.floats(1, 1e5),
    price=st.decimals(0, 100, places=6),
    factor=st.floats(0.01, 5),
    cached=st.sampled_from([0, 0.3, 1 / 3]),
)
def test_rows_add_up_exactly_however_odd_the_numbers(
    requests: float, tokens: float, price: Decimal, factor: float, cached: float
) -> None:
    workload = {"requests_per_month": requests, "input_tokens": {"mean": tokens}, "cached_input_share": cached}
    today = api(prices={"input_usd_per_mtok": str(price)}, reconciliation_factor=factor)
    found = answer(today, workload=workload, draws=1, horizon_months=1)
    month = row(found, "today").usd_per_month
    assert month
    assert sum((line.usd_per_month for line in row(found, "today").lines), Decimal(0)) == month.point
    assert [check.message for check in found.checks if not check.ok] == []


def test_a_routed_part_names_its_share_among_its_fields() -> None:
    router = {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": 0.6}
    found = answer(api(), fleet(), router)
    tokens = next(line for line in row(found, "router").lines if line.label.endswith("Input tokens"))
    assert tokens.terms[0].value == 400_000
    assert tokens.terms[0].fields == ("/workload/requests_per_month", "/options/router/small_share")


def test_an_evaluation_written_before_terms_is_still_read() -> None:
    """Signed recommendations hold those bytes."""
    found = answer(api())
    old = found.model_dump(mode="json", by_alias=True)
    for option in old["options"]:
        del option["lcoai_usd_per_mtok"]
        for line in option["lines"]:
            del line["terms"]
    again = Evaluation.model_validate(old)
    assert again.options[0].lines[0].terms == ()
