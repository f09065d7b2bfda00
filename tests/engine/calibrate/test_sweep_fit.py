"""λ* out of open-loop runs: where the curves cross, and how sure that is."""

import math

import numpy as np
import pytest

from engine.calibrate.capacity import CurvePoint, monotone
from engine.calibrate.slo import Slo
from engine.calibrate.sweep_fit import SweepRun, sweep_fit

SLO = Slo(ttft_p95_ms=1000, tpot_p95_ms=50)
RATES = (8.0, 9.5, 10.0, 10.5, 12.0)


def tpot(rate: float) -> float:
    """50 ms at 10 requests/s, growing with the square of the rate."""
    return 50 * (rate / 10) ** 2


def noisy_runs(
    seed: int, noise: float, *, twins: bool, bias: float = 1.0, rates: tuple[float, ...] = RATES
) -> list[SweepRun]:
    """Two runs a rate whose p95 TPOT is off by the luck of their arrivals, which a twin shares, but for a percent."""
    rng = np.random.default_rng(seed)
    runs = []
    for number, rate in enumerate(sorted(2 * rates)):
        luck = math.exp(noise * rng.standard_normal())
        own = math.exp(0.01 * rng.standard_normal())
        measured = {"ttft_p95_ms": 200.0, "tpot_p95_ms": tpot(rate) * luck * own}
        twin = {"ttft_p95_ms": 200.0, "tpot_p95_ms": tpot(rate) * luck / bias} if twins else None
        runs.append(SweepRun(f"L{number}", rate, measured, twin))  # type: ignore[arg-type]
    return runs


def base(bias: float = 1.0) -> list[CurvePoint]:
    return [CurvePoint(rate, (200.0,) * 8, (tpot(rate) / bias,) * 8) for rate in (9.0, 10.0, 11.0)]


def test_the_root_of_runs_without_luck_is_exact() -> None:
    for runs, curve in ((noisy_runs(0, 0.0, twins=True), base()), (noisy_runs(0, 0.0, twins=False), [])):
        fit = sweep_fit(runs, curve, SLO, seed=1)
        assert fit.requests_per_s == pytest.approx(10.0, rel=0.01)
        assert fit.binding == "tpot_p95_ms"
        assert fit.near == 6
        assert fit.half_width < 0.02


def test_twins_take_the_luck_of_arrivals_out() -> None:
    """The same runs with and without: the error is a tenth. A model that is off by 5 % biases nothing."""
    errors = {
        twins: [
            (
                sweep_fit(
                    noisy_runs(seed, 0.1, twins=twins, bias=1.05), base(1.05) if twins else [], SLO, seed
                ).requests_per_s
                or 0
            )
            / 10
            - 1
            for seed in range(30)
        ]
        for twins in (True, False)
    }
    assert abs(np.mean(errors[True])) < 0.002
    assert np.std(errors[True]) < 0.005
    assert np.std(errors[False]) > 3 * np.std(errors[True])
    assert abs(np.mean(errors[False])) < 0.01


@pytest.mark.parametrize("twins", [True, False])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(twins: bool) -> None:
    covered = []
    for seed in range(60):
        fit = sweep_fit(noisy_runs(seed, 0.06, twins=twins), base() if twins else [], SLO, seed)
        covered.append(fit.low is not None and fit.high is not None and fit.low <= 10 <= fit.high)
    assert np.mean(covered) >= 0.85


def test_a_run_that_was_ended_is_over_the_limit_however_good_it_looked() -> None:
    runs = [SweepRun("L1", 8.0, {"ttft_p95_ms": 300, "tpot_p95_ms": 20})]
    runs += [SweepRun("L2", 10.0, {"ttft_p95_ms": 500, "tpot_p95_ms": 20}, oversaturated=True)]
    fit = sweep_fit(runs, [], SLO, seed=1)
    assert fit.binding == "ttft_p95_ms"
    assert fit.requests_per_s is not None
    assert 8 < fit.requests_per_s < 10


def test_what_lies_outside_of_the_rates_is_said() -> None:
    below = sweep_fit(noisy_runs(1, 0.0, twins=False, rates=(6.0, 7.0, 8.0)), [], SLO, seed=1)
    assert below.above
    assert below.requests_per_s == pytest.approx(8.0)
    alone = sweep_fit(noisy_runs(1, 0.0, twins=False, rates=(8.0,)), [], SLO, seed=1)
    assert alone.above
    assert (alone.low, alone.high) == pytest.approx((8.0 / 1.05, 8.0 * 1.05)), "every draw ends there"
    over = sweep_fit(noisy_runs(1, 0.0, twins=False, rates=(12.0, 13.0)), [], SLO, seed=1)
    assert over.requests_per_s is None
    assert math.isinf(over.half_width)
    assert over.binding == "tpot_p95_ms"


def test_more_than_saturation_is_never_stated() -> None:
    fit = sweep_fit(noisy_runs(1, 0.05, twins=False, rates=(6.0, 7.0, 8.0)), [], SLO, seed=1, most=7.2)
    assert (fit.requests_per_s, fit.binding, fit.above) == (7.2, "saturation", False)
    assert fit.low is not None
    assert fit.low <= 7.2 / 1.05


def test_weights_in_a_monotone_curve_are_repeats() -> None:
    repeated = monotone([3.0, 1.0, 1.0, 1.0, 5.0])
    assert monotone([3.0, 1.0, 5.0], [1, 3, 1]) == [repeated[0], repeated[1], repeated[4]]
    assert monotone([3.0, 1.0], [1, 3]) == [1.5, 1.5]
