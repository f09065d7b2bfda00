"""A smooth curve through points that never overshoots them: what ascends between two points ascends all the way."""

from collections.abc import Callable, Sequence
from itertools import pairwise


def monotone_curve(xs: Sequence[float], ys: Sequence[float]) -> Callable[[float], float]:
    """Piecewise cubic through the points (Fritsch and Butland 1984, as PCHIP). `xs` ascend strictly, two or more.

    Left of the first point and right of the last it is level: nothing is extrapolated.
    """
    if len(xs) < 2 or any(left >= right for left, right in pairwise(xs)):
        raise ValueError("xs must be two or more and ascend")
    widths = [right - left for left, right in pairwise(xs)]
    rises = [(right - left) / width for (left, right), width in zip(pairwise(ys), widths, strict=True)]
    inner = [_slope(*pair) for pair in zip(pairwise(widths), pairwise(rises), strict=True)]
    slopes = [rises[0], *inner, rises[-1]]

    def at(x: float) -> float:
        if x <= xs[0]:
            return ys[0]
        if x >= xs[-1]:
            return ys[-1]
        place = max(number for number in range(len(widths)) if xs[number] <= x)
        width, t = widths[place], (x - xs[place]) / widths[place]
        return (
            ys[place] * (1 + 2 * t) * (1 - t) ** 2
            + slopes[place] * width * t * (1 - t) ** 2
            + ys[place + 1] * t**2 * (3 - 2 * t)
            + slopes[place + 1] * width * t**2 * (t - 1)
        )

    return at


def _slope(widths: tuple[float, float], rises: tuple[float, float]) -> float:
    """At an inner point: the weighted harmonic mean of both sides' slopes, level where they differ in sign."""
    if rises[0] * rises[1] <= 0:
        return 0.0
    left, right = 2 * widths[1] + widths[0], widths[1] + 2 * widths[0]
    return (left + right) / (left / rises[0] + right / rises[1])
