"""What a page and a print say of an answer: each line of a month with what it is made of and where that is from."""

from pathlib import Path

from costadvisor.decisions.advise import advise
from costadvisor.decisions.bill import Bill
from costadvisor.decisions.content import content_of


def bills(case: str) -> dict[str, Bill]:
    found = advise(Path("docs/cases") / case / "case.json")
    return {bill.name: bill for bill in content_of(found.evaluation, found.case).bills}


def test_a_line_says_what_it_is_made_of_and_where_from() -> None:
    owned = bills("privacy")["Qwen3-8B on owned H100"]
    amortization = next(line for line in owned.lines if line.label == "Amortization")
    assert amortization.formula == "2 replicas x $38,000.00 x (1 - 0.15) / 48 months"
    assert [(part.text, part.value) for part in amortization.ingredients] == [
        ("2 replicas", ""),
        ("$38,000.00", ""),
        ("(1 - 0.15)", "0.85 share"),
        ("48 months", ""),
    ]
    replicas, purchase, *_ = amortization.ingredients
    assert (replicas.inputs, replicas.source) == ("", "")  # the plan's, not the case's
    assert purchase.inputs == "purchase for Qwen3-8B on owned H100"
    assert purchase.source.startswith("E, assumed: a vendor's informal figure")


def test_what_nobody_gave_a_source_for_says_so() -> None:
    power = next(line for line in bills("privacy")["Qwen3-8B on owned H100"].lines if line.label == "Power")
    hours = next(part for part in power.ingredients if part.inputs == "hours in a month")
    assert hours.source == "as the case gives it"
