"""What the answer depends on: each input alone from its p10 to its p90, and the values at which the answer switches.

All of TCO(recommended) - TCO(best of the other group): negative keeps the recommendation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import Sensitivity
from costadvisor.economics.figures import exact
from costadvisor.economics.inputs import Input
from costadvisor.economics.ranking import Ranking, group_difference
from costadvisor.economics.values import Sample

LOW, HIGH = 0.1, 0.9
SCANNED = 33
SECTIONS = 16
ROUNDS = 9
MOST_SWITCHES = 10

RATE_SPAN = 0.5
GROWTH_SPAN = 0.10
AMOUNT_SPAN = 4.0


@dataclass(frozen=True)
class Moved:
    """Inputs of one stream move together. `shown` is the one that stands for them."""

    shown: Input
    inputs: tuple[Input, ...]

    def at_quantile(self, quantile: float) -> dict[str, float]:
        return {known.pointer: float(known.at(np.array([quantile]))[0]) for known in self.inputs}

    def at_value(self, value: Floats) -> dict[str, Floats]:
        """Every input of the stream in proportion to the shown one."""
        shown = self.shown
        return {
            known.pointer: value if known is shown else value * (known.middle() / shown.middle())
            for known in self.inputs
        }

    def search_range(self) -> Floats:
        """(SCANNED,) values to look at for a switch: wider than the input's own range, and stated in the docs."""
        pointer, middle = self.shown.pointer, self.shown.middle()
        if pointer.endswith(("_share", "batch_discount")):
            return np.linspace(0.0, 1.0, SCANNED)
        if pointer.startswith("/drift/"):
            return np.linspace(-RATE_SPAN, RATE_SPAN, SCANNED)
        if pointer.endswith("growth_per_month"):
            return np.linspace(-GROWTH_SPAN, GROWTH_SPAN, SCANNED)
        lowest = 1.0 if "hourly_shape" in pointer else middle / AMOUNT_SPAN
        return np.geomspace(lowest, middle * AMOUNT_SPAN, SCANNED)


def sensitivities(case: Case, ranking: Ranking, inputs: tuple[Input, ...]) -> tuple[Sensitivity, ...]:
    """Longest bar first, without what can neither move nor switch the answer. Empty where there is no rival."""
    moved = _streams(inputs, {option.id for option in (ranking.best, *ranking.rivals[:1])})
    if not ranking.rivals or not moved:
        return ()
    middles = {known.pointer: known.middle() for known in inputs}
    differences = _differences(case, ranking, middles, [m.at_quantile(q) for m in moved for q in (LOW, HIGH)])
    rows = [
        _row(one, low, high, _switches(case, ranking, middles, one))
        for one, low, high in zip(moved, differences[::2], differences[1::2], strict=True)
    ]
    kept = (row for row in rows if row.npv_low_usd != row.npv_high_usd or row.switching_values)
    return tuple(sorted(kept, key=lambda row: -abs(row.npv_high_usd - row.npv_low_usd)))


def _streams(inputs: tuple[Input, ...], compared: set[str]) -> list[Moved]:
    by_stream: dict[str, list[Input]] = {}
    for known in (known for known in inputs if known.low < known.high):
        by_stream.setdefault(known.stream, []).append(known)
    return [Moved(_shown(group, compared), tuple(group)) for group in by_stream.values()]


def _shown(group: list[Input], compared: set[str]) -> Input:
    """Of inputs that move together, one of an option that is compared."""
    return next((known for known in group if known.pointer.split("/")[2] in compared), group[0])


def _differences(case: Case, ranking: Ranking, middles: Mapping[str, float], changes: list[dict[str, float]]) -> Floats:
    """(len(changes),) with everything at its median but for each change."""
    drawn = {
        pointer: np.array([change.get(pointer, middle) for change in changes]) for pointer, middle in middles.items()
    }
    return group_difference(ranking, Sample(case, len(changes), drawn))


def _row(moved: Moved, low: float, high: float, switches: list[float]) -> Sensitivity:
    shown, middle = moved.shown.pointer, moved.shown.middle()
    return Sensitivity(
        input=shown,
        low=moved.at_quantile(LOW)[shown],
        high=moved.at_quantile(HIGH)[shown],
        npv_low_usd=exact(low),
        npv_high_usd=exact(high),
        switching_value=min(switches, key=lambda value: abs(value - middle), default=None),
        switching_values=tuple(switches),
    )


def _switches(case: Case, ranking: Ranking, middles: Mapping[str, float], moved: Moved) -> list[float]:
    """Every sign change in the search range, each bracket cut into sections until nine digits stand."""
    values = moved.search_range()
    kept = _kept(case, ranking, middles, moved, values)
    places = np.nonzero(kept[1:] != kept[:-1])[0][:MOST_SWITCHES]
    lows, highs = values[places], values[places + 1]
    for _ in range(ROUNDS if places.size else 0):
        cuts = np.linspace(lows, highs, SECTIONS + 1)
        kept = _kept(case, ranking, middles, moved, cuts.ravel()).reshape(cuts.shape)
        first = np.argmax(kept[1:] != kept[:-1], axis=0)
        lows, highs = (np.take_along_axis(cuts, (first + step)[None, :], axis=0)[0] for step in (0, 1))
    return [float(value) for value in (lows + highs) / 2]


def _kept(
    case: Case, ranking: Ranking, middles: Mapping[str, float], moved: Moved, values: Floats
) -> NDArray[np.bool_]:
    """Whether the recommendation is kept. A capacity looked at here is one that would be known and planned with."""
    drawn: dict[str, Floats] = {pointer: np.full(values.size, middle) for pointer, middle in middles.items()}
    drawn |= moved.at_value(values)
    known_capacity = "/capacity/" in moved.shown.pointer
    kept: NDArray[np.bool_] = group_difference(ranking, Sample(case, values.size, drawn, replanned=known_capacity)) < 0
    return kept
