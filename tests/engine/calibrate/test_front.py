"""The curve that never overshoots, and the front of throughput."""

from itertools import pairwise

import pytest

from engine.calibrate.front import FrontPoint, front_of, front_points
from engine.calibrate.interpolate import monotone_curve
from tests.engine.calibrate.gpu_record import made


def test_a_curve_goes_through_its_points_and_never_beyond_two_neighbours() -> None:
    xs, ys = [0.0, 1.0, 1.1, 5.0, 9.0], [0.0, 0.1, 10.0, 10.1, 30.0]
    curve = monotone_curve(xs, ys)
    assert [curve(x) for x in xs] == pytest.approx(ys)
    fine = [curve(number / 100) for number in range(901)]
    assert all(left <= right + 1e-12 for left, right in pairwise(fine))
    assert (curve(-1), curve(99)) == (0.0, 30.0), "nothing is extrapolated"


def test_a_curve_on_a_line_is_the_line_and_a_peak_stays_level() -> None:
    line = monotone_curve([0, 1, 3, 7], [1, 3, 7, 15])
    assert line(2.2) == pytest.approx(5.4)
    peak = monotone_curve([0, 1, 2], [0, 1, 0])
    assert max(peak(number / 50) for number in range(101)) == 1
    with pytest.raises(ValueError, match="ascend"):
        monotone_curve([1, 1], [2, 3])


def test_the_front_leaves_out_what_another_point_beats() -> None:
    good, slower, worse, best = (
        FrontPoint(5, 100, 1),
        FrontPoint(8, 400, 8),
        FrontPoint(9, 350, 12),
        FrontPoint(20, 900, 32),
    )
    front = front_of([best, worse, good, slower])
    assert front is not None
    assert front.points == (good, slower, best)
    assert front.at(8) == (400, False)
    assert 400 < front.at(12).output_tokens_per_s < 900
    assert front.at(3) == (100, True)
    assert front.at(99) == (900, True), "clamped, and says so"
    assert front_of([]) is None


def test_the_front_of_a_record_is_its_closed_loop() -> None:
    record, _ = made()
    points = front_points(record)
    assert [point.concurrency for point in points] == sorted(
        level.concurrency or 0 for level in record.levels if level.mode == "closed"
    )
    front = front_of(points)
    assert front is not None
    assert front.points[-1].output_tokens_per_s == max(point.output_tokens_per_s for point in points)
