"""Each check of an evaluation can fail: a row tampered with is found, and the master check falls with it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from costadvisor.economics import evaluate, parse_case
from costadvisor.economics.cashflow import totals_by_id
from costadvisor.economics.checks import Checked, checks
from costadvisor.economics.evaluation import OptionResult, Spread
from costadvisor.economics.results import Costs
from costadvisor.economics.values import Sample
from tests.costadvisor.economics.cases import api, case, fleet


@pytest.fixture
def sound() -> Checked:
    found = parse_case(case(api(), fleet(), draws=20))
    answer, totals = evaluate(found), totals_by_id(found.options, Sample(found))
    return Checked(found, found.options, answer.options, Costs(totals, totals), answer.break_even)


def failed(checked: Checked) -> set[str]:
    return {check.id for check in checks(checked) if not check.ok}


def with_row(checked: Checked, place: int, **changes: Any) -> Checked:
    rows: list[OptionResult] = list(checked.rows)
    rows[place] = rows[place].model_copy(update=changes)
    return replace(checked, rows=rows)


def shifted(spread: Spread | None, **changes: Any) -> Spread:
    assert spread is not None
    return spread.model_copy(update=changes)


def test_a_sound_evaluation_passes(sound: Checked) -> None:
    assert failed(sound) == set()


def test_a_changed_line_is_found(sound: Checked) -> None:
    line = sound.rows[1].lines[0]
    lines = (line.model_copy(update={"usd_per_month": line.usd_per_month + Decimal("1e-12")}), *sound.rows[1].lines[1:])
    assert failed(with_row(sound, 1, lines=lines)) == {"lines_sum", "master"}


def test_a_changed_term_is_found(sound: Checked) -> None:
    line = sound.rows[1].lines[0]
    first = line.terms[0].model_copy(update={"value": line.terms[0].value + 1})
    lines = (line.model_copy(update={"terms": (first, *line.terms[1:])}), *sound.rows[1].lines[1:])
    assert failed(with_row(sound, 1, lines=lines)) == {"terms_give_lines", "master"}


def test_a_changed_month_is_found(sound: Checked) -> None:
    month = shifted(sound.rows[1].usd_per_month, point=Decimal(1), p10=Decimal(1))
    assert {"two_ways", "lines_sum", "master"} <= failed(with_row(sound, 1, usd_per_month=month))


def test_a_changed_npv_is_found(sound: Checked) -> None:
    assert failed(with_row(sound, 0, npv_usd=shifted(sound.rows[0].npv_usd, p50=Decimal(1), p90=Decimal(1)))) == {
        "baseline_npv",
        "master",
    }
    moved = shifted(sound.rows[1].npv_usd, point=Decimal(0))
    assert failed(with_row(sound, 1, npv_usd=moved)) == {"npv_is_difference", "master"}


def test_percentiles_out_of_order_are_found(sound: Checked) -> None:
    spread = shifted(sound.rows[1].tco_usd, p10=Decimal(10**9))
    assert failed(with_row(sound, 1, tco_usd=spread)) == {"percentiles_ordered", "master"}


def test_probabilities_above_one_are_found(sound: Checked) -> None:
    assert failed(with_row(with_row(sound, 0, p_cheapest=0.7), 1, p_cheapest=0.7)) == {"probabilities", "master"}


def test_a_break_even_that_does_not_hold_is_found(sound: Checked) -> None:
    month = sound.break_evens[0]
    early = month.intervals[0].model_copy(update={"from_requests_per_month": 1000.0})
    moved = month.model_copy(update={"intervals": (early,)})
    assert failed(replace(sound, break_evens=[moved])) == {"break_even_sides", "master"}
