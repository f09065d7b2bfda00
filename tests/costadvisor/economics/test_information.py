"""What more knowledge is worth: against answers known in closed form, and as the reason to wait."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.economics import Evaluation
from costadvisor.economics.information import expected_gain, partial_value
from tests.costadvisor.economics.cases import answer, api, fleet

UNIFORM = (np.arange(20_000) + 0.5) / 20_000
CLOSE = {"requests_per_month": 16_000_000}


def doubtful(**fields: Any) -> Evaluation:
    """Two replicas, or seven if the capacity is less than a third of what was assumed."""
    return answer(api(), fleet(capacity={"requests_per_s": 4, "grade": "E"}), workload=CLOSE, draws=2000, **fields)


def test_perfect_information_in_closed_form() -> None:
    """A sure 0 against u - 0.5: choosing after u is known saves 1/8 on average."""
    costs = np.array([np.zeros_like(UNIFORM), UNIFORM - 0.5])
    assert expected_gain(costs) == pytest.approx(0.125, rel=1e-3)
    value, error = partial_value(UNIFORM, costs)
    assert value == pytest.approx(0.125, rel=1e-3)
    assert error < 1e-6


def test_an_input_that_says_nothing_is_worth_nothing_within_its_error() -> None:
    shuffled = UNIFORM[np.random.Generator(np.random.PCG64(1)).permutation(UNIFORM.size)]
    costs = np.array([np.zeros_like(UNIFORM), shuffled - 0.3])
    value, error = partial_value(UNIFORM, costs)
    assert value <= 2 * error


def test_noise_beside_the_input_is_not_part_of_its_value() -> None:
    """u - 0.5 plus as much again of something else: knowing u alone still saves 1/8."""
    other = UNIFORM[np.random.Generator(np.random.PCG64(2)).permutation(UNIFORM.size)]
    costs = np.array([np.zeros_like(UNIFORM), UNIFORM - 0.5 + other - 0.5])
    value, error = partial_value(UNIFORM, costs)
    assert value == pytest.approx(0.125, abs=4 * error)
    assert expected_gain(costs) > value


def test_a_dear_doubt_that_can_be_settled_is_not_enough_evidence() -> None:
    found = doubtful()
    assert found.verdict.choice == "not_enough_evidence"
    assert found.verdict.option in ("today", "h100")
    first = found.verdict.measure_next[0]
    assert first.startswith(("calibrate Qwen3-8B on H100, for about $4", "read "))
    information = found.value_of_information
    assert information
    assert any(value.usd > value.cost_to_learn_usd and value.learnable for value in information.inputs)


def test_a_doubt_that_nothing_learnable_can_settle_is_answered() -> None:
    """Everything is known but where prices go: that can't be learned, so waiting buys nothing."""
    known = {pointer: [value] * 3 for pointer, value in KNOWN.items()}
    unknown = {"/drift/api_price_per_year": [-0.5, 0, 0.5], "/drift/gpu_price_per_year": [0, 0, 0]}
    found = answer(api(), fleet(usd_per_hour="2.95"), workload=CLOSE, uncertainty=known | unknown, draws=2000)
    assert found.verdict.confidence is not None
    assert found.verdict.confidence < 0.8
    assert found.verdict.choice in ("api", "rented_gpu")
    assert found.verdict.measure_next == ()
    information = found.value_of_information
    assert information
    assert [(value.input, value.learnable) for value in information.inputs] == [("/drift/api_price_per_year", False)]


KNOWN = {
    "/workload/requests_per_month": 16_000_000,
    "/workload/growth_per_month": 0,
    "/workload/hourly_shape": 1,
    "/options/h100/hardware/usd_per_hour": 2.95,
}


def test_a_small_doubt_is_answered() -> None:
    """An even chance either way of hardly any money: no calibration pays for itself."""
    tiny = {"requests_per_month": 20_000}
    cheap = fleet(usd_per_hour="0.0074", capacity={"requests_per_s": 0.05, "grade": "A"})
    found = answer(api(), cheap, workload=tiny, draws=2000)
    assert found.verdict.confidence is not None
    assert found.verdict.confidence < 0.8
    assert found.verdict.choice != "not_enough_evidence"


def test_a_sure_answer_is_given_whatever_could_be_learned() -> None:
    found = answer(api(), fleet(usd_per_hour="40"), draws=2000)
    assert found.verdict.choice == "api"
    assert found.value_of_information
    assert found.value_of_information.evpi_usd == 0
    assert found.value_of_information.inputs == ()


def test_without_another_group_there_is_nothing_to_know() -> None:
    assert answer(api(), api("other", baseline=False)).value_of_information is None


def test_siblings_are_no_part_of_it() -> None:
    """Which of two GPUs is cheaper is another question."""
    twin = fleet("twin", usd_per_hour="1.01", hardware={"gpu": "H200"})
    alone = answer(api(), fleet(usd_per_hour="1.00"), workload={"requests_per_month": 1e8}, draws=2000)
    joined = answer(api(), fleet(usd_per_hour="1.00"), twin, workload={"requests_per_month": 1e8}, draws=2000)
    assert alone.value_of_information
    assert joined.value_of_information
    assert joined.value_of_information.evpi_usd <= alone.value_of_information.evpi_usd + 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.floats(1e6, 1e8),
    usd_per_hour=st.floats(0.5, 8),
    grade=st.sampled_from("ABCDE"),
    peak=st.floats(1, 5),
    second=st.booleans(),
)
def test_perfect_information_is_worth_at_least_any_part_of_it(
    requests: float, usd_per_hour: float, grade: str, peak: float, second: bool
) -> None:
    own = fleet(usd_per_hour=f"{usd_per_hour:.3f}", capacity={"requests_per_s": 4, "grade": grade})
    other = [fleet("b", usd_per_hour="2", capacity={"requests_per_s": 3, "grade": "C"}, hardware={"gpu": "B"})]
    workload = {"requests_per_month": requests, "hourly_shape": {"peak_to_mean": peak}}
    found = answer(api(), own, *(other if second else []), workload=workload, draws=400)
    information = found.value_of_information
    assert information
    assert information.evpi_usd >= 0
    for value in information.inputs:
        assert 0 < value.usd <= information.evpi_usd
        assert value.standard_error_usd >= 0
