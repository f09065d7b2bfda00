"""Is an option's quality non-inferior to a reference's: by an interval for the difference of two shares.

Wilson's interval for each share, Newcombe's hybrid for their difference (Newcombe 1998, method 10), 95 % two-sided:
the usual 2.5 % one-sided test of non-inferiority.
"""

import math
from collections.abc import Iterable

from costadvisor.economics.case import QualityGate
from costadvisor.economics.options import Quality

Z = 1.959963984540054


def wilson(score: float, n: int) -> tuple[float, float]:
    """The interval of a share seen in n samples (Wilson 1927)."""
    centre = (score + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(score * (1 - score) / n + Z**2 / (4 * n**2))
    return centre - half, centre + half


def newcombe(score: float, n: int, reference: float, reference_n: int) -> tuple[float, float]:
    """The interval of score - reference."""
    low, high = wilson(score, n)
    reference_low, reference_high = wilson(reference, reference_n)
    difference = score - reference
    below = math.hypot(score - low, reference_high - reference)
    above = math.hypot(high - score, reference - reference_low)
    return difference - below, difference + above


def quality_problem(
    gate: QualityGate, option: Iterable[Quality], reference: Iterable[Quality], reference_name: str
) -> str | None:
    """Why an option does not pass the gate, in words; None where it does. The reference itself always passes."""
    own, other = _measured(gate, option), _measured(gate, reference)
    if own is None or other is None:
        whose = "this option" if own is None else reference_name
        return f"Quality on {gate.measure} is unknown for {whose}, so whether this option is no worse can't be told."
    if own.n is None or other.n is None:
        whose = "this option's score" if own.n is None else f"the score of {reference_name}"
        return f"How many samples {whose} on {gate.measure} rests on is unknown, so its error is too."
    low, high = newcombe(float(own.score), own.n, float(other.score), other.n)
    margin = float(gate.margin)
    if low > -margin:
        return None
    scores = f"{float(own.score):.3g} against {float(other.score):.3g} for {reference_name} on {gate.measure}"
    interval = f"the difference lies between {low:+.3f} and {high:+.3f} (95 %)"
    if high < -margin:
        return f"Quality is worse than the margin of {margin:g} allows: {scores}; {interval}."
    return (
        f"Too few samples to tell that quality is within {margin:g}: {scores}; {interval}.{_enough(own, other, margin)}"
    )


def _measured(gate: QualityGate, scores: Iterable[Quality]) -> Quality | None:
    return next((score for score in scores if score.measure == gate.measure), None)


def _enough(own: Quality, other: Quality, margin: float) -> str:
    """How many samples of each would settle it, if the scores stay what they are."""
    gap = float(own.score) - float(other.score) + margin
    if gap <= 0:
        return ""
    variance = sum(float(score.score) * (1 - float(score.score)) for score in (own, other))
    return (
        f" About {math.ceil(Z**2 * max(variance, 0.01) / gap**2):,} samples of each would settle it if the scores hold."
    )
