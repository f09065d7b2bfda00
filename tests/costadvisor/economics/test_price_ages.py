"""Old prices are said in the verdict and, with their sources, among what it does not cover."""

from typing import Any

import pytest

from costadvisor.economics import CaseError, parse_case
from costadvisor.economics.case import PriceAges
from costadvisor.economics.parse import case_bytes
from tests.costadvisor.economics.cases import answer, api, case, fleet

RENT, PRICES = "/options/h100/hardware/usd_per_hour", "/options/today/prices"


def read_on(**days: str) -> dict[str, Any]:
    fields = {"rent": RENT, "prices": PRICES}
    return {
        fields[name]: {"grade": "D", "basis": "imported", "source": f"list of {name}", "as_of": day}
        for name, day in days.items()
    }


def test_a_price_at_its_age_is_said_by_nobody() -> None:
    found = answer(api(), fleet(), evidence=read_on(rent="2026-09-17", prices="2026-09-17"))  # 45 days before
    assert "Check before signing" not in found.verdict.sentence
    assert not any("days old" in text for text in found.limitations)


def test_older_ones_are_in_the_verdict_and_named_with_their_sources() -> None:
    found = answer(api(), fleet(), evidence=read_on(rent="2026-09-01", prices="2026-09-16"))
    assert found.verdict.sentence.endswith(
        " Check before signing: the rent of Qwen3-8B on H100 is 61 days old (at most 45), and 1 more price."
    )
    assert found.limitations[:2] == (
        "The rent of Qwen3-8B on H100 is of 2026-09-01, 61 days old where 45 are the most: list of rent.",
        "The price of gpt-4o-mini at openai is of 2026-09-16, 46 days old where 45 are the most: list of prices.",
    )


def test_doubt_says_it_as_well() -> None:
    """`not_enough_evidence` and a refusal of everything are verdicts too."""
    old = read_on(rent="2026-09-01")
    none = answer(api(), fleet(), evidence=old, constraints={"privacy": ["on_prem"]})
    assert none.verdict.choice == "no_option_allowed"
    assert "Check before signing" in none.verdict.sentence


def test_the_most_is_set_by_kind() -> None:
    ages = {"api": 30, "gpu": 90}
    found = answer(api(), fleet(), evidence=read_on(rent="2026-09-01", prices="2026-09-20"), price_max_age_days=ages)
    assert "gpt-4o-mini at openai is 42 days old (at most 30)." in found.verdict.sentence
    assert "H100" not in found.verdict.sentence.partition("Check before signing")[2]


def test_what_a_case_has_by_itself_is_not_written() -> None:
    """So that a case keeps its bytes and its hash."""
    plain = parse_case(case(api()))
    assert plain.price_max_age_days == PriceAges()
    assert b"price_max_age_days" not in case_bytes(plain)
    assert b"price_max_age_days" in case_bytes(parse_case(case(api(), price_max_age_days={"gpu": 7})))
    with pytest.raises(CaseError, match="1 to 3650"):
        parse_case(case(api(), price_max_age_days={"gpu": 0}))
