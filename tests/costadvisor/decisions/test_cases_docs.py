"""The ten written cases: each is answered as its page says, and every figure in its reading is the evaluation's."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from costadvisor.common.money import money_in_prose, money_text
from costadvisor.decisions.advise import Advice, advise
from costadvisor.decisions.text import answer_text

CASES = Path("docs/cases")
NAMES = sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())
USD = re.compile(r"\$[\d,]+(?:\.\d+)?")
PERCENT = re.compile(r"\d+(?:\.\d+)? %")


@cache
def advice(name: str) -> Advice:
    return advise(CASES / name / "case.json")


def reading(name: str) -> str:
    return " ".join((CASES / name / "README.md").read_text(encoding="utf-8").split())


def leaves(node: Any) -> Iterator[Any]:
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
    if inside is None:
        yield node
    else:
        for child in inside:
            yield from leaves(child)


def figures(found: Advice) -> set[str]:
    """Every amount and share of the evaluation and the case, as a sentence would have them."""
    written = [found.evaluation.model_dump(mode="json"), found.case.model_dump(mode="json")]
    told: set[str] = set()
    for leaf in leaves(written):
        told |= {*USD.findall(leaf), *PERCENT.findall(leaf)} if isinstance(leaf, str) else set()
        try:
            number = Decimal(str(leaf))
        except ArithmeticError:
            continue
        if not isinstance(leaf, bool) and number.is_finite():
            told |= {money_in_prose(number, "USD"), money_text(number, "USD"), f"${number:,.0f}"}
            told |= {f"{abs(number) * 100:.{places}f} %" for places in (0, 1)}
    return told


def test_there_are_ten_from_a_few_hundred_dollars_to_two_hundred_thousand() -> None:
    spend = sorted(float(advice(name).evaluation.rule_of_thumb.api_usd_per_month or 0) for name in NAMES)
    assert len(spend) == 10
    assert spend[0] < 400
    assert 190_000 < spend[-1] < 210_000


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_one_that_is_written_there(name: str) -> None:
    found = advice(name)
    assert (CASES / name / "answer.txt").read_text(encoding="utf-8") == answer_text(found.evaluation, found.case) + "\n"
    assert found.evaluation.checks[-1].ok
    assert found.evaluation.checks[-1].id == "master"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_reading_is_the_evaluations(name: str) -> None:
    text, known = reading(name), figures(advice(name))
    quoted = [*USD.findall(text), *PERCENT.findall(text)]
    assert len(quoted) >= 4
    assert [figure for figure in quoted if figure.rstrip(",.") not in known] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_verdict_is_defended_in_two_sentences(name: str) -> None:
    defence = reading(name).split("## In defence")[1].split("The case is [`case.json`]")[0]
    assert len(re.findall(r"[.?!](?: |$)", defence.strip())) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_case_says_of_itself_that_it_is_made_up(name: str) -> None:
    written = json.loads((CASES / name / "case.json").read_text(encoding="utf-8"))
    assert written["name"].endswith("(illustrative)")
    assert all("(illustrative)" in said["source"] for said in written["evidence"].values())


def test_the_table_of_cases_has_the_spend_of_each() -> None:
    table = (CASES / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        (spend,) = re.findall(rf"\({name}/README.md\) \| (\$[\d,]+) \|", table)
        assert spend in figures(advice(name))


def test_where_a_skew_turns_mean_and_median_round_the_reasons_say_so() -> None:
    """The best has the lowest mean; here its rival has the lower median."""
    first = advice("growth").evaluation.verdict.reasons[0]
    assert "less over 24 months" in first
    assert first.endswith("over all draws together it costs more, and that decides.")
