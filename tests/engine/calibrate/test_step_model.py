"""The step model: it finds what is there, and says so when nothing of its form is."""

import itertools
from dataclasses import fields

import numpy as np
import pytest

from engine.calibrate.level import StepRow
from engine.calibrate.step_model import TERMS, StepModel, fit_levels

LEVELS = (1, 2, 4, 8)
OPENING = 12  # steps


def rows(concurrency: int, model: StepModel, *, noise: float = 0.0, power: float = 1.0) -> list[StepRow]:
    """Steps as a closed loop at N makes them: prompts alone, then decodes, now and then with a prompt's chunk."""
    rng = np.random.default_rng(concurrency)
    found = []
    for number in range(400):
        prefill = int(rng.integers(16, 512)) if number < OPENING or number % 5 == 0 else 0
        decode = 0 if number < OPENING else concurrency - bool(prefill)
        context = sum(int(rng.integers(100, 1500)) for _ in range(decode))
        pairs = prefill * int(rng.integers(50, 800))
        ms = model.ms(decode, prefill, context, pairs) ** power * (1 + noise * rng.standard_normal())
        found.append(StepRow(0.0, ms, decode, prefill, context, pairs, 0, 0, 0, 0, 0))
    return found


def levels(model: StepModel, **how: float) -> dict[str, list[StepRow]]:
    return {f"L{concurrency}": rows(concurrency, model, **how) for concurrency in LEVELS}


def test_coefficients_are_recovered(truth: StepModel) -> None:
    fit = fit_levels(levels(truth))
    for field in fields(StepModel):
        assert getattr(fit.model, field.name) == pytest.approx(getattr(truth, field.name), rel=1e-6), field.name
    assert fit.mape is not None
    assert fit.mape < 1e-6
    assert fit.steps == 400 * len(LEVELS)


def test_coefficients_are_recovered_within_their_covariance(truth: StepModel) -> None:
    fit = fit_levels(levels(truth, noise=0.03))
    for place, name in enumerate(TERMS):
        error = fit.covariance[place][place] ** 0.5
        assert abs(getattr(fit.model, name) - getattr(truth, name)) < 4 * error, name
        assert error < 0.2 * getattr(truth, name), name
    assert fit.mape == pytest.approx(0.03 * (2 / np.pi) ** 0.5, rel=0.15), "the noise's own mean absolute error"


def test_a_neighbours_bursts_change_little(truth: StepModel) -> None:
    disturbed = levels(truth, noise=0.02)
    for level in disturbed.values():
        for number in range(0, len(level), 20):
            level[number] = level[number]._replace(ms=level[number].ms * 6)
    model = fit_levels(disturbed).model
    for decode, prefill in itertools.product((1, 4, 8), (0, 300)):
        point = (decode, prefill, 800 * decode, 400 * prefill)
        assert model.ms(*point) == pytest.approx(truth.ms(*point), rel=0.03)


def test_a_slow_stretch_is_told_from_a_model_that_does_not_hold(truth: StepModel) -> None:
    disturbed = levels(truth, noise=0.02)
    for name in ("L2", "L8"):
        disturbed[name][:120] = [row._replace(ms=row.ms * 1.8) for row in disturbed[name][:120]]
    fit = fit_levels(disturbed)
    assert fit.mape is not None
    assert fit.mape > 0.05
    assert fit.holds
    everything = sum(row.ms for level in disturbed.values() for row in level)
    without = sum(truth.of(row) for level in disturbed.values() for row in level)
    assert fit.unsteadiness == pytest.approx(everything / without - 1, rel=0.1)


def test_every_level_is_held_out_once(truth: StepModel) -> None:
    fit = fit_levels(levels(truth, noise=0.01))
    assert [held.level for held in fit.held_out] == list(levels(truth))
    odd = levels(truth, noise=0.01)
    odd["L4"] = [row._replace(ms=row.ms * 1.5) for row in odd["L4"]]
    judged = {held.level: held for held in fit_levels(odd).held_out}["L4"]
    assert judged.decode.mdape == pytest.approx(1 / 3, abs=0.02), "a third too fast for a level half as slow again"
    assert judged.prefill.mdape == pytest.approx(1 / 3, abs=0.02)


def test_another_law_shows_in_the_held_out_error(truth: StepModel) -> None:
    fit = fit_levels(levels(truth, power=2.0))
    assert fit.mdape is not None
    assert fit.mdape > 0.08
    assert not fit.holds


def test_no_slope_is_negative() -> None:
    shrinking = StepModel(a_decode=50.0, a_prefill=60.0, mixed=4.0, b=-3.0, c=0.1, d=0.001, e=0.0)
    model = fit_levels(levels(shrinking, noise=0.01)).model
    assert min(model.b, model.c, model.d, model.e) >= 0


def test_two_levels_are_too_few_to_judge(truth: StepModel) -> None:
    fit = fit_levels(dict(itertools.islice(levels(truth).items(), 2)) | {"empty": []})
    assert fit.held_out == ()
    assert fit.mape is None
    assert not fit.holds
