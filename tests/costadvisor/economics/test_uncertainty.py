"""Draws: reproducible, one stream per name, shared where the world shares them; and what the answer depends on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costadvisor.decisions.resolve import case_resolve
from costadvisor.economics import Case, case_bytes, evaluate, parse_case
from costadvisor.economics.evaluation import Evaluation, Spread
from costadvisor.economics.inputs import Input, uncertain_inputs
from costadvisor.economics.sampling import draw
from tests.costadvisor.economics.cases import CERTAIN, answer, api, case, fleet, month_usd, row
from tests.costadvisor.economics.test_fuzz import whole_case

EVALUATE_STDIN = (
    "import sys; from costadvisor.economics import evaluate, parse_case;"
    "sys.stdout.buffer.write(evaluate(parse_case(sys.stdin.read())).to_json())"
)


def tco(found: Evaluation, id_: str) -> Spread:
    spread = row(found, id_).tco_usd
    assert spread is not None
    return spread


def bounds(written: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    return {known.pointer: (known.low, known.mode, known.high) for known in uncertain_inputs(parse_case(written))}


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_same_case_gives_the_same_bytes_in_another_process(hash_seed: str) -> None:
    found = parse_case(case(api(), fleet(), draws=300))
    command = [sys.executable, "-c", EVALUATE_STDIN]
    environment = {"PYTHONHASHSEED": hash_seed}
    other = subprocess.run(command, input=case_bytes(found), capture_output=True, check=True, env=environment)
    assert other.stdout == evaluate(found).to_json()


def uneven_week() -> dict[str, Any]:
    """168 hours that all differ, bursts, growth, and a base that follows the day."""
    weights = [1 + hour % 24 / 10 + hour / 1000 for hour in range(168)]
    following = fleet(scaling={"policy": "scheduled", "cold_start_s": 120}, usd_per_hour="4")
    mixed = {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"}
    busy = {"requests_per_month": 90_000_000, "hourly_shape": weights, "burstiness": 0.4, "growth_per_month": 0.03}
    return case(api(), following, mixed, workload=busy, draws=500)


WRITTEN = {path.parent.name: path for path in Path("docs/cases").glob("*/case.json")}


def case_called(name: str) -> Case:
    if name in WRITTEN:
        return case_resolve(parse_case(WRITTEN[name].read_text(encoding="utf-8")), folder=None)
    return parse_case(uneven_week() if name == "uneven week" else whole_case() | {"draws": 500, "horizon_months": 24})


@pytest.mark.skipif("OTHER_PYTHON" not in os.environ, reason="OTHER_PYTHON names another version's interpreter")
@pytest.mark.parametrize("name", ["every kind", "uneven week", *WRITTEN])
def test_another_version_of_python_gives_the_same_bytes(name: str) -> None:
    """The other interpreter needs numpy and pydantic at the pinned versions."""
    found = case_called(name)
    command = [os.environ["OTHER_PYTHON"], "-c", EVALUATE_STDIN]
    other = subprocess.run(command, input=case_bytes(found), capture_output=True, check=True, env={"PYTHONPATH": "."})
    assert other.stdout == evaluate(found).to_json()


def test_the_order_in_which_a_case_says_things_moves_nothing() -> None:
    said = {"grade": "B", "basis": "measured", "source": "logs"}
    pointers = ["/workload/growth_per_month", "/options/h100/hardware/pue", "/horizon_months", "/drift"]
    one, other = (answer(api(), fleet(), evidence=dict.fromkeys(order, said)) for order in (pointers, pointers[::-1]))
    assert one.to_json() == other.to_json()


def test_the_seed_alone_moves_the_draws() -> None:
    one, two = (answer(api(), fleet(), seed=seed) for seed in (1, 2))
    assert tco(one, "h100").p50 != tco(two, "h100").p50
    assert tco(one, "h100").point == tco(two, "h100").point


def test_adding_an_option_moves_no_other_options_draws() -> None:
    few = answer(api(), fleet())
    more = answer(fleet("a100", hardware={"gpu": "A100"}), api(), fleet(), api("host", baseline=False, provider="x"))
    for id_ in ("today", "h100"):
        assert row(few, id_).tco_usd == row(more, id_).tco_usd
        assert row(few, id_).npv_usd == row(more, id_).npv_usd


def test_what_the_world_shares_is_drawn_once() -> None:
    """The same GPU and plan share a price, the same model and GPU a capacity, all own fleets the team's estimates."""
    other_gpu = fleet("c", hardware={"gpu": "A100"})
    found = parse_case(case(api(), fleet("a"), fleet("b", usd_per_hour="5"), other_gpu, draws=200))
    sample = draw(found, uncertain_inputs(found)).drawn
    a, b, c = (sample[f"/options/{id_}/hardware/usd_per_hour"] for id_ in "abc")
    assert b == pytest.approx(2 * a)
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.3


def test_triangular_quantiles() -> None:
    known = Input("/x", "/x", 1.0, 2.0, 5.0)
    quantiles = np.linspace(0.0005, 0.9995, 2000)
    drawn = known.at(quantiles)
    assert np.all(np.diff(drawn) > 0)
    assert drawn.mean() == pytest.approx((1 + 2 + 5) / 3, rel=1e-4)
    assert known.at(np.array([0.25]))[0] == pytest.approx(2.0)


def test_defaults_by_grade_and_basis() -> None:
    for grade, low, mode, high in [
        ("A", 0.92, 1, 1.08),
        ("B", 0.85, 1, 1.12),
        ("C", 0.6, 1, 1.3),
        ("D", 0.4, 0.8, 1.2),
    ]:
        capacity = {"requests_per_s": 10, "grade": grade}
        found = bounds(case(api(), fleet(capacity=capacity)))
        assert found["/options/h100/capacity/requests_per_s"] == pytest.approx((10 * low, 10 * mode, 10 * high))
    found = bounds(case(api(), fleet(), workload={"cached_input_share": 0.05}))
    assert found["/workload/cached_input_share"] == pytest.approx((0, 0.05, 0.15))
    assert found["/workload/requests_per_month"] == (500_000, 1_000_000, 2_000_000)
    billed = {"/workload": {"grade": "A", "basis": "billed", "source": "export"}}
    assert bounds(case(api(), evidence=billed))["/workload/requests_per_month"] == (900_000, 1_000_000, 1_100_000)
    assert "/workload/cached_input_share" not in bounds(case(api()))
    assert "/options/h100/operations/setup_usd" not in found


def test_a_measured_interval_stands_for_the_grades_factors() -> None:
    found = bounds(case(api(), fleet(capacity={"requests_per_s": 4, "low": 3.5, "high": 4.2, "grade": "A"})))
    assert found["/options/h100/capacity/requests_per_s"] == (3.5, 4.0, 4.2)


def test_a_range_in_the_case_is_used() -> None:
    ranged = CERTAIN | {"/options/h100/hardware/usd_per_hour": ["2", "2", "2"]}
    ranged |= {"/workload/requests_per_month": [1e6, 1e6, 1e6], "/workload/hourly_shape": [1, 1, 1]}
    month = row(answer(api(), fleet(), uncertainty=ranged), "h100").usd_per_month
    assert month
    # The draws take the range, the point the case's own value.
    assert float(month.p10) == float(month.p90) == pytest.approx(2 * 730)
    assert float(month.point) == 2.5 * 730


def test_a_draw_adds_replicas_where_reality_is_worse_and_none_away_where_it_is_better() -> None:
    busy = {"requests_per_month": 4 * 730 * 3600 * 3}
    certain = CERTAIN | {"/workload/requests_per_month": [busy["requests_per_month"]] * 3}
    certain |= {"/workload/hourly_shape": [1, 1, 1], "/options/h100/hardware/usd_per_hour": ["2.5"] * 3}
    worse, better = ({"requests_per_s": 4, "low": low, "high": high} for low, high in ((4, 8), (4, 4)))
    planned = row(answer(api(), fleet(capacity=better), workload=busy, uncertainty=certain), "h100").usd_per_month
    lucky = row(answer(api(), fleet(capacity=worse), workload=busy, uncertainty=certain), "h100").usd_per_month
    assert planned == lucky
    assumed = fleet(capacity={"requests_per_s": 4, "grade": "C"})
    spread = row(answer(api(), assumed, workload=busy, uncertainty=certain), "h100").usd_per_month
    assert spread
    assert spread.point == spread.p10 < spread.p90


def test_peak_uncertainty_moves_a_fixed_fleet_even_in_a_flat_week() -> None:
    busy = {"requests_per_month": 4 * 730 * 3600 * 2}
    only_peak = CERTAIN | {"/workload/requests_per_month": [busy["requests_per_month"]] * 3}
    only_peak |= {"/options/h100/hardware/usd_per_hour": ["2.5"] * 3}
    spread = row(answer(api(), fleet(), workload=busy, uncertainty=only_peak), "h100").usd_per_month
    assert spread
    assert (float(spread.point), float(spread.p90)) == (2 * 2.5 * 730, 3 * 2.5 * 730)


def test_switching_value_of_the_gpu_price_splits_the_answer() -> None:
    busy = {"requests_per_month": 20_000_000}
    found = answer(api(), fleet(usd_per_hour="3"), workload=busy)
    price = next(known for known in found.sensitivity if known.input.endswith("usd_per_hour"))
    assert price.switching_value is not None
    middles = {
        known.pointer: known.middle() for known in uncertain_inputs(parse_case(case(api(), fleet(), workload=busy)))
    }
    fixed = {pointer: [value] * 3 for pointer, value in middles.items()}
    signs = []
    for factor in (0.999, 1.001):
        at = fixed | {"/options/h100/hardware/usd_per_hour": [price.switching_value * factor] * 3}
        npv = row(answer(api(), fleet(usd_per_hour="3"), workload=busy, uncertainty=at), "h100").npv_usd
        assert npv
        signs.append(npv.p50 > 0)
    assert signs == [True, False]


def test_the_switching_value_of_a_capacity_is_of_one_that_is_planned_with() -> None:
    """Fleets are planned on 4; were it known to be more than twice that, fewer replicas would do."""
    measured = fleet(usd_per_hour="6", capacity={"requests_per_s": 4, "low": 3.9, "high": 4.1})
    found = answer(api(), measured, workload={"requests_per_month": 100_000_000})
    assert found.verdict.choice == "api"
    capacity = next(known for known in found.sensitivity if "capacity" in known.input)
    assert capacity.switching_value is not None
    assert capacity.switching_value > 4.1


def test_sensitivity_is_of_the_two_groups_and_negative_keeps_the_answer() -> None:
    found = answer(api(), fleet())
    assert found.verdict.choice == "api"
    assert all(known.npv_low_usd < 0 and known.npv_high_usd < 0 for known in found.sensitivity)
    swings = [abs(known.npv_high_usd - known.npv_low_usd) for known in found.sensitivity]
    assert swings == sorted(swings, reverse=True)
    # An own fleet alone in the case has nothing to switch to.
    assert answer(fleet(baseline=True)).sensitivity == ()


def test_percentiles_are_ordered_and_written_as_money() -> None:
    written = json.loads(answer(api(), fleet()).to_json())
    for option in written["options"]:
        for spread in (option["usd_per_month"], option["tco_usd"]):
            assert float(spread["p10"]) <= float(spread["p50"]) <= float(spread["p90"])
            assert all(len(amount.split(".")[1]) == 2 for amount in spread.values())
    assert month_usd(answer(api(), fleet()), "h100") == 1825
