"""Two cases compared: each changed input, what it moved, and a sum that is the whole difference."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.economics import Case, CaseError, evaluate, parse_case
from costadvisor.economics.comparison import FIGURES, MOST_STEPS, Comparison, compare
from tests.costadvisor.economics.cases import CERTAIN, Json, api, case, fleet, row
from tests.costadvisor.economics.test_fuzz import whole_case

MIX: Json = {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"}


def parsed(*options: Json, **fields: Any) -> Case:
    return parse_case(case(*options, **fields))


def fields_of(found: Comparison) -> list[list[str]]:
    return [[changed.field for changed in move.inputs] for move in found.moves]


def adds_up(found: Comparison) -> bool:
    """In every column that is there."""
    for figure in FIGURES:
        moved = [getattr(move, figure) for move in found.moves]
        before, after = getattr(found.before, figure), getattr(found.after, figure)
        if None not in moved and before is not None and sum(moved, Decimal(0)) != after - before:
            return False
    return True


def test_one_change_moved_the_whole_difference() -> None:
    found = compare(parsed(api(), fleet()), parsed(api(), fleet(usd_per_hour="3.10")))
    assert fields_of(found) == [["/options/h100/hardware/usd_per_hour"]]
    (move,) = found.moves
    assert (move.inputs[0].before, move.inputs[0].after) == ("2.5", "3.1")
    assert adds_up(found)
    assert move.lead_usd is not None
    assert move.lead_usd < 0
    assert move.today_usd == 0


def test_what_is_shown_is_the_evaluations_own_medians() -> None:
    before, after = parsed(api(), fleet()), parsed(api(), fleet(), workload={"requests_per_month": 9_000_000})
    found = compare(before, after)
    for standing, evaluated in ((found.before, evaluate(before)), (found.after, evaluate(after))):
        today, own = (row(evaluated, id_).tco_usd for id_ in ("today", "h100"))
        assert today
        assert own
        assert standing.today_usd == pytest.approx(today.p50, abs=Decimal("0.01"))
        assert standing.lead_usd == pytest.approx(today.p50 - own.p50, abs=Decimal("0.02"))
        assert standing.best == evaluated.verdict.option


def test_volume_and_price_share_what_they_moved_together() -> None:
    """Twice the requests at half the price cost the same: +c and -c at once, each at the mean of both orders."""
    certain = {"uncertainty": CERTAIN | {"/workload/requests_per_month": [1, 1, 1]}, "draws": 1}
    prices = {"input_usd_per_mtok": "0.10", "output_usd_per_mtok": "0.10"}
    half = {"input_usd_per_mtok": "0.05", "output_usd_per_mtok": "0.05"}

    def at(requests: int, priced: Json) -> Case:
        bounds = CERTAIN | {"/workload/requests_per_month": [requests] * 3}
        written = certain | {"uncertainty": bounds}
        return parsed(api(prices=priced), workload={"requests_per_month": requests}, **written)

    found = compare(at(1_000_000, prices), at(2_000_000, half))
    assert found.before.today_usd == found.after.today_usd
    by_field = {move.inputs[0].field: move.today_usd for move in found.moves}
    cost = found.before.today_usd
    assert cost
    assert by_field["/workload/requests_per_month"] == pytest.approx(cost * Decimal("0.75"), abs=Decimal("0.02"))
    assert adds_up(found)


def test_options_added_and_taken_away_are_changes() -> None:
    found = compare(parsed(api(), fleet("a100", usd_per_hour="1")), parsed(api(), fleet("h100")))
    assert sorted(fields_of(found)) == [["/options/a100"], ["/options/h100"]]
    assert adds_up(found)


def test_what_only_fits_together_moves_together() -> None:
    """A hybrid and the base that it names; a baseline given up and one taken."""
    found = compare(parsed(api()), parsed(api(), fleet(), MIX))
    assert fields_of(found) == [["/options/h100", "/options/mix"]]
    host = api("host", baseline=False, provider="deepinfra")
    moved = compare(parsed(api(), host), parsed(api() | {"baseline": False}, host | {"baseline": True}))
    assert fields_of(moved) == [["/options/today/baseline", "/options/host/baseline"]]


def test_a_name_moves_nothing_and_a_grade_does() -> None:
    assert compare(parsed(api(), name="a"), parsed(api(), name="b", as_of="2026-11-02")).moves == ()
    about = {"/workload/requests_per_month": {"grade": "A", "basis": "billed", "source": "invoice"}}
    found = compare(parsed(api(), fleet()), parsed(api(), fleet(), evidence=about))
    assert fields_of(found) == [["/workload/requests_per_month"]]


def test_a_figure_that_is_not_there_all_the_way_is_null_and_never_zero() -> None:
    found = compare(parsed(api()), parsed(api(), fleet(), workload={"requests_per_month": 2_000_000}))
    assert found.before.lead_usd is None
    assert {move.lead_usd for move in found.moves} == {None}
    assert found.moves[0].best_usd is not None


def test_where_much_changed_an_option_is_one_step() -> None:
    many = [fleet(f"f{place}", hardware={"gpu": f"G{place}"}) for place in range(6)]
    dearer = [
        fleet(
            f"f{place}",
            usd_per_hour="3",
            hardware={"gpu": f"G{place}x"},
            operations={"fte": 1, "usd_per_month": "9", "setup_usd": "1"},
        )
        for place in range(6)
    ]
    found = compare(parsed(api(), *many, draws=20), parsed(api(), *dearer, draws=20))
    assert len(found.moves) == 6
    assert sum(len(move.inputs) for move in found.moves) > MOST_STEPS
    assert adds_up(found)


def test_a_case_that_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(CaseError, match="/options/today/prices"):
        compare(parsed(api()), parsed(api(prices=None) | {"prices": None}))


def test_the_same_two_cases_give_the_same_bytes() -> None:
    before, after = parsed(api(), fleet()), parsed(api(), fleet(usd_per_hour="3.10"), draws=400)
    assert compare(before, after).model_dump_json() == compare(before, after).model_dump_json()


relaxed = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(
    requests=st.integers(1_000, 10**9),
    hourly=st.floats(0.5, 6),
    price=st.floats(0.01, 5),
    shape=st.sampled_from(["flat", {"peak_to_mean": 3}]),
    horizon=st.integers(1, 24),
    kept=st.sets(st.sampled_from(["own", "zero", "res", "ptu"])),
)
def test_every_column_adds_up_to_the_cent(
    requests: int, hourly: float, price: float, shape: Any, horizon: int, kept: set[str]
) -> None:
    before, after = whole_case(), whole_case()
    after["workload"] |= {"requests_per_month": requests, "hourly_shape": shape}
    after["options"][1]["hardware"]["usd_per_hour"] = hourly
    after["options"][0]["prices"]["input_usd_per_mtok"] = price
    after["options"] = [
        option for option in after["options"] if option["id"] not in {"own", "zero", "res", "ptu"} - kept
    ]
    after["horizon_months"] = horizon
    found = compare(parse_case(before), parse_case(after))
    assert adds_up(found)
    sizes = [abs(move.lead_usd) for move in found.moves if move.lead_usd is not None]
    assert sizes == sorted(sizes, reverse=True)
