"""A small version of `python -m engine.calibrate.truth`: whole calibrations of a server whose true rate is known."""

import dataclasses

import pytest

from engine.calibrate import capacity
from engine.calibrate import truth as truths
from engine.calibrate.slo import Slo
from engine.calibrate.workload import workload_fixed

SCENARIO = dataclasses.replace(truths.SCENARIOS[0], workload=workload_fixed(100, 12), slo=Slo(400, 45))


def test_the_truth_is_found_and_mostly_inside_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truths, "TRUE_REQUESTS", 2500)
    monkeypatch.setattr(capacity, "MOST_REQUESTS", 300)
    center = truths.true_center(SCENARIO)
    true = truths.true_rate(SCENARIO, center, [truths.true_p95s(SCENARIO, center, run) for run in range(4)])
    found = [truths.found_of(SCENARIO, "standard", False, 25.0, seed) for seed in range(2)]
    for one in found:
        assert one.rate == pytest.approx(true, rel=0.04), "two sd of so little simulation; in full it is 1 %"
    assert sum((one.low or 0) <= true <= (one.high or 0) for one in found) >= 1
    assert "TPOT binds" in truths.row_of(SCENARIO, true, found)


def test_what_is_off_shows_in_the_table() -> None:
    """Of three calibrations one is right, one biased with an interval that knows, one silent."""
    right = truths.Found(10.1, 9.8, 10.4, 12, 15.0, 9.0)
    biased = truths.Found(8.0, 7.0, 10.5, 12, 15.0, 9.0)
    silent = truths.Found(None, None, None, 0, 15.0, 9.0)
    row = truths.row_of(SCENARIO, 10.0, [right, biased, silent]).split()
    stated, bias, _, close, covered = row[-9:-4]
    assert (stated, float(bias), float(close), float(covered)) == ("2/3", -9.5, 33, 67)
