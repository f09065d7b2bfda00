"""The step model: it finds what is there, and says so when nothing of its form is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.calibrate.level import StepRow, turns
from engine.calibrate.step_model import TERMS, Bend, StepModel, fit_levels

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
    assert fit.model.coefficients == pytest.approx(truth.coefficients, rel=1e-6)
    assert fit.mape is not None
    assert fit.mape < 1e-6
    assert fit.steps == 400 * len(LEVELS)


def test_coefficients_are_recovered_within_their_covariance(truth: StepModel) -> None:
    fit = fit_levels(levels(truth, noise=0.03))
    for place, (name, value) in enumerate(fit.model.coefficients.items()):
        error = fit.covariance[place][place] ** 0.5
        assert abs(value - truth.coefficients[name]) < 4 * error, name
        assert error < 0.2 * truth.coefficients[name], name
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


def test_a_tail_to_the_slow_side_is_in_the_mean_step_and_not_in_the_judgement(truth: StepModel) -> None:
    tailed = levels(truth)
    for level in tailed.values():
        for number in range(7, len(level), 10):
            level[number] = level[number]._replace(ms=level[number].ms * 1.7)
    fit = fit_levels(tailed)
    for prefills in (False, True):
        rows = [row for level in tailed.values() for row in level if (row.prefill_tokens > 0) is prefills]
        assert sum(map(fit.model.of, rows)) == pytest.approx(sum(row.ms for row in rows), rel=1e-6)
    assert fit.unsteadiness == pytest.approx(0, abs=1e-6)
    assert (fit.mdape or 1) < 0.01


def test_a_closed_loops_step_takes_from_the_end_of_the_one_before() -> None:
    steps = [StepRow(at, 10.0, 1, 0, 9, 0, 1, 0, 0, 1, 1) for at in (0.0, 0.0102, 0.0205)]
    assert [row.ms for row in turns(steps)] == pytest.approx([10.0, 10.2, 10.3])
    assert turns([]) == []


def test_a_slow_stretch_is_told_from_a_model_that_does_not_hold(truth: StepModel) -> None:
    disturbed = levels(truth, noise=0.02)
    for name in ("L2", "L8"):
        disturbed[name][:120] = [row._replace(ms=row.ms * 2.5) for row in disturbed[name][:120]]
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


BENT = StepModel(8.0, 9.0, 2.0, 0.4, 0.25, 0.0028, 0.0004, bends=(Bend(4, 0.9, 0.0012), Bend(16, 0.1, 0.0002)))


def test_a_bent_model_joins_at_its_knots_and_never_falls() -> None:
    assert BENT.ms(4, 0, 4000, 0) == pytest.approx(8.0 + 4 * 0.4 + 4000 * 0.0028)
    assert BENT.ms(6, 0, 6000, 0) == pytest.approx(8.0 + 4 * 0.4 + 2 * 0.9 + 1000 * (4 * 0.0028 + 2 * 0.0012))
    assert BENT.ms(6, 50, 6000, 700) - BENT.ms(6, 0, 6000, 0) == pytest.approx(1.0 + 2.0 + 50 * 0.25 + 700 * 0.0004)
    one_more = [BENT.ms(decode, 0, 1000 * decode, 0) for decode in range(1, 40)]
    assert one_more == sorted(one_more)
    assert BENT.ms(17, 0, 17_000, 0) - BENT.ms(16, 0, 16_000, 0) == pytest.approx(0.1 + 1000 * 0.0002)


def test_a_law_that_bends_is_found_and_held_out_well() -> None:
    """What a line through all batches can't follow: kernels that share work among cores from some batch on."""
    bending = replace(BENT, bends=BENT.bends[:1])
    measured = {f"L{n}": rows(n, bending, noise=0.02) for n in (1, 2, 3, 4, 6, 8)}
    fit = fit_levels(measured)
    assert fit.holds
    assert fit.mdape is not None
    assert fit.mdape < 0.03
    assert [bend.knot for bend in fit.model.bends] == [4]
    assert len(fit.covariance) == len(fit.model.coefficients) == 9
    for decode in (1, 3, 8, 12):
        work = (decode, 0, 1000 * decode, 0)
        assert fit.model.ms(*work) == pytest.approx(bending.ms(*work), rel=0.03)


def test_a_staircase_is_followed_between_its_steps(truth: StepModel) -> None:
    """A GPU that replays a graph captured for the next power of two: measured where each step ends."""
    measured = {}
    for n in (1, 2, 4, 8, 16, 32):
        level = rows(n, truth, noise=0.02)
        idle = [(1 << (row.decode_sequences - 1).bit_length()) - row.decode_sequences for row in level]
        measured[f"L{n}"] = [row._replace(ms=row.ms + truth.b * n) for row, n in zip(level, idle, strict=True)]
    assert fit_levels(measured).holds


def test_a_line_bends_where_that_predicts_better_and_batches_reach_beyond(truth: StepModel) -> None:
    def knots(law: StepModel, *measured: int) -> list[int]:
        model = fit_levels({f"L{n}": rows(n, law, noise=0.02) for n in measured}).model
        return [bend.knot for bend in model.bends]

    assert knots(truth, 1, 2, 4, 8, 12, 16, 24) == []
    assert knots(BENT, 1, 2, 4, 8, 12, 16, 24) == [4, 16]
    assert knots(BENT, 1, 2, 4, 8, 12, 16) == [4]
    assert knots(BENT, 1, 2, 3, 4, 5) == []


def test_coefficients_are_read_as_they_are_written() -> None:
    assert StepModel.read(BENT.coefficients) == BENT
    assert list(BENT.coefficients) == [*TERMS, "b_4", "d_4", "b_16", "d_16"]
    first_form = {term: value for term, value in BENT.coefficients.items() if term in TERMS and term != "mixed"}
    assert StepModel.read(first_form) == replace(BENT, mixed=0.0, bends=())


@pytest.mark.parametrize("bends", [(), (Bend(4, -3.0, 0.001),), (Bend(4, 1.0, -0.0005),)])
def test_no_slope_is_negative(bends: tuple[Bend, ...]) -> None:
    b = 1.0 if bends else -3.0
    shrinking = StepModel(a_decode=50.0, a_prefill=60.0, mixed=4.0, b=b, c=0.1, d=0.001, e=0.0, bends=bends)
    model = fit_levels(levels(shrinking, noise=0.01)).model
    assert min(value for name, value in model.coefficients.items() if name not in TERMS[:2]) >= 0


def test_steps_of_a_slow_machine_are_not_fitted_but_count_as_unsteadiness(truth: StepModel) -> None:
    slow = [row._replace(ms=1.5 * row.ms) for row in rows(4, truth)]
    alone, beside = fit_levels(levels(truth)), fit_levels(levels(truth), slow)
    assert beside.model == alone.model
    assert alone.unsteadiness == pytest.approx(0.0, abs=1e-9)
    lost = sum(row.ms for row in slow) / 3
    steady = sum(row.ms for level in levels(truth).values() for row in level) + 2 * lost
    assert beside.unsteadiness == pytest.approx(lost / steady, rel=1e-6)


def test_two_levels_are_too_few_to_judge(truth: StepModel) -> None:
    fit = fit_levels(dict(itertools.islice(levels(truth).items(), 2)) | {"empty": []})
    assert fit.held_out == ()
    assert fit.mape is None
    assert not fit.holds
