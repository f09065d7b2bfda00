"""A letter on every number: what the case says of it, or E."""

from costadvisor.economics.evaluation import Evaluation, EvidenceRow
from tests.costadvisor.economics.cases import answer, api, fleet


def evidence(found: Evaluation, field: str) -> EvidenceRow:
    return next(known for known in found.evidence if known.field == field)


def test_numbers_without_a_source_are_grade_e() -> None:
    found = answer(api(), fleet())
    assert {known.grade for known in found.evidence} == {"E"}
    assert "no source" in evidence(found, "/workload/growth_per_month").source


def test_evidence_covers_what_is_under_its_pointer() -> None:
    listed = {"grade": "D", "basis": "imported", "source": "price list", "as_of": "2026-11-01"}
    found = answer(api(), fleet(), evidence={"/options/today": listed})
    prices = evidence(found, "/options/today/prices")
    assert (prices.grade, prices.source) == ("D", "imported: price list")
    assert str(prices.as_of) == "2026-11-01"
    assert evidence(found, "/options/h100/hardware/usd_per_hour").grade == "E"


def test_a_capacity_carries_its_own_grade() -> None:
    measured = fleet(capacity={"requests_per_s": 4, "grade": "B", "record": "sha256:12ab"})
    known = evidence(answer(api(), measured), "/options/h100/capacity")
    assert (known.grade, known.source) == ("B", "record sha256:12ab")


def test_evidence_for_anything_else_is_listed_too() -> None:
    cited = {"grade": "C", "basis": "imported", "source": "finance"}
    assert evidence(answer(api(), evidence={"/discount_rate_per_year": cited}), "/discount_rate_per_year").grade == "C"
