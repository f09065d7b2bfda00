"""λ*, against servers whose true rate is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calibrate.capacity import MaxRate, Search, crossing, max_rate, monotone
from engine.calibrate.metrics import nearest_rank
from engine.calibrate.simulator import OpenLoad, simulate
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import workload_fixed
from engine.config import SchedulerConfig

values = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=30)


@given(values)
def test_monotone_is_ascending_and_keeps_the_mean(given_values: list[float]) -> None:
    fitted = monotone(given_values)
    assert len(fitted) == len(given_values)
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(fitted))
    assert math.fsum(fitted) == pytest.approx(math.fsum(given_values), rel=1e-6, abs=1e-6)
    assert monotone(sorted(given_values)) == pytest.approx(sorted(given_values))


def test_crossing_interpolates() -> None:
    assert crossing([0, 1, 2], [10, 20, 40], 30) == pytest.approx(1.5)
    assert crossing([0, 1, 2], [10, 20, 40], 50) == 2
    assert crossing([0, 1, 2], [10, 20, 40], 5) is None


def waits_at_most(wait: float, load: float) -> float:
    """Share of customers of an M/D/1 queue (service time 1) that wait at most so long (Erlang, 1909)."""
    terms = (
        (load * (k - wait)) ** k / math.factorial(k) * math.exp(load * (wait - k)) for k in range(math.floor(wait) + 1)
    )
    return (1 - load) * sum(terms)


def test_one_at_a_time_is_the_queue_of_the_textbook() -> None:
    """A server of one row whose requests are one step each is M/D/1: its 95th percentile is known exactly."""
    service_ms, limit_ms = 100.0, 350.0
    loads = np.linspace(0.01, 0.95, 2000)
    within = [load for load in loads if waits_at_most(limit_ms / service_ms - 1, load) >= 0.95]
    true_rate = max(within) / (service_ms / 1000)
    limits = SchedulerConfig(max_batch=1, token_budget=64, block_size=16, num_blocks=64, max_model_len=128)
    search = Search(limits, workload_fixed(64, 1), Slo(limit_ms, 50), seed=3)
    found = max_rate(search, lambda *work: service_ms, [], 0.0, saturation_per_s=10.0)
    assert found.requests_per_s == pytest.approx(true_rate, rel=0.07)
    assert found.binding == "ttft_p95_ms"


def p95(limits: SchedulerConfig, model: StepModel, rate: float) -> tuple[float, float]:
    """One long simulation with its own seed."""
    spec = OpenLoad.draw(workload_fixed(200, 40), 3000, seed=99).level("", "", 0, rate, 200, math.inf)
    rows = simulate(limits, model.ms, spec).requests[200:]
    ttft = [row.ttft_ms(open_loop=True) or 0.0 for row in rows]
    return nearest_rank(ttft, 0.95), nearest_rank([row.tpot_ms or 0.0 for row in rows], 0.95)


def test_the_rate_found_just_meets_the_slo_on_other_traffic(limits: SchedulerConfig, truth: StepModel) -> None:
    slo = Slo(600, 38)
    found = max_rate(Search(limits, workload_fixed(200, 40), slo, seed=5), truth.ms, [], 0.0, saturation_per_s=14.0)
    assert found.requests_per_s is not None
    assert found.binding == "tpot_p95_ms"
    ttft, tpot = p95(limits, truth, found.requests_per_s)
    assert tpot == pytest.approx(slo.tpot_p95_ms, rel=0.03)
    assert ttft < slo.ttft_p95_ms
    assert p95(limits, truth, 1.1 * found.requests_per_s)[1] > slo.tpot_p95_ms
    assert found.low is not None
    assert found.low <= found.requests_per_s


@pytest.mark.usefixtures("few_simulated")
def test_the_interval_widens_with_the_disagreement_of_levels(limits: SchedulerConfig, truth: StepModel) -> None:
    def search() -> Search:
        return Search(limits, workload_fixed(100, 8), Slo(600, 45), seed=5)

    slower = StepModel(a_decode=24.0, a_prefill=30.0, mixed=4.0, b=1.8, c=0.14, d=0.0024, e=0.00002)
    alike = max_rate(search(), truth.ms, [truth.ms] * 3, 0.0, 14.0)
    unlike = max_rate(search(), truth.ms, [truth.ms, truth.ms, slower.ms], 0.0, 14.0)
    assert alike.low is not None
    assert unlike.low is not None
    assert alike.requests_per_s is not None
    assert unlike.low < alike.low <= alike.requests_per_s


@pytest.mark.usefixtures("few_simulated")
def test_an_unsteady_machine_lowers_the_low_end_alone(limits: SchedulerConfig, truth: StepModel) -> None:
    def found(unsteadiness: float) -> MaxRate:
        search = Search(limits, workload_fixed(100, 8), Slo(600, 45), seed=5)
        return max_rate(search, truth.ms, [truth.ms] * 3, unsteadiness, 14.0)

    steady, unsteady = found(0.0), found(0.10)
    assert (unsteady.requests_per_s, unsteady.high) == (steady.requests_per_s, steady.high)
    assert unsteady.low is not None
    assert steady.low is not None
    assert unsteady.low < 0.95 * steady.low
    assert found(5.0).low is not None, "a machine that meets no SLO in its slow hours has a low end, near nothing"


def test_no_rate_is_invented_when_a_lone_request_misses(limits: SchedulerConfig, truth: StepModel) -> None:
    for slo, binding in ((Slo(600, 15), "tpot_p95_ms"), (Slo(30, 500), "ttft_p95_ms")):
        found = max_rate(Search(limits, workload_fixed(200, 10), slo, seed=5), truth.ms, [], 0.0, 14.0)
        assert (found.requests_per_s, found.low, found.high) == (None, None, None)
        assert found.binding == binding


@pytest.mark.usefixtures("few_simulated")
def test_a_loose_slo_is_bound_by_saturation(limits: SchedulerConfig, truth: StepModel) -> None:
    found = max_rate(Search(limits, workload_fixed(50, 10), Slo(1e6, 1e6), seed=5), truth.ms, [], 0.0, 3.0)
    assert found.binding == "saturation"
    assert found.requests_per_s == pytest.approx(3.0)
    assert (found.low, found.high) == pytest.approx((3.0 / 1.05, 3.0 * 1.05)), "which is known no better"


@pytest.mark.usefixtures("few_simulated")
def test_no_rate_is_known_better_than_the_step_model(limits: SchedulerConfig, truth: StepModel) -> None:
    search = Search(limits, workload_fixed(100, 8), Slo(600, 45), seed=5)
    found = max_rate(search, truth.ms, [truth.ms] * 3, 0.0, 14.0, error=0.07)
    assert found.requests_per_s is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.requests_per_s / 1.07
    assert found.high >= found.requests_per_s * 1.07
