"""What the answer depends on: each input alone from its p10 to its p90, and the values at which the answer switches.

All of TCO(recommended) - TCO(best of the other group): negative keeps the recommendation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.case import Case
from costadvisor.economics.composition import parts_of
from costadvisor.economics.crossings import SECTIONS, changes
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import Sensitivity
from costadvisor.economics.figures import exact
from costadvisor.economics.inputs import Input
from costadvisor.economics.ranking import Ranking, group_difference
from costadvisor.economics.values import Sample

LOW, HIGH = 0.1, 0.9
SCANNED = 33
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

    @property
    def is_capacity(self) -> bool:
        pointer = self.shown.pointer
        return "/capacity/" in pointer or pointer.endswith("requests_per_s_per_unit")

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
    moved = _streams(inputs, {part.id for o in (ranking.best, *ranking.rivals[:1]) for part in parts_of(case, o)})
    if not ranking.rivals or not moved:
        return ()
    scan = _Scan(case, ranking, {known.pointer: known.middle() for known in inputs}, moved)
    differences, switches = scan.at_quantiles(), scan.switches()
    rows = [_row(*known) for known in zip(moved, differences[::2], differences[1::2], switches, strict=True)]
    kept = (row for row in rows if row.npv_low_usd != row.npv_high_usd or row.switching_values)
    return tuple(sorted(kept, key=lambda row: -abs(row.npv_high_usd - row.npv_low_usd)))


@dataclass(frozen=True)
class _Scan:
    """Many values of many inputs priced in one go: row by row one input is moved, the rest at their medians."""

    case: Case
    ranking: Ranking
    middles: Mapping[str, float]
    moved: Sequence[Moved]
    constants: dict[str, float] = field(default_factory=dict)

    def at_quantiles(self) -> Floats:
        """(2 x inputs,) The difference at each input's p10 and p90."""
        at = [one.at_quantile(quantile) for one in self.moved for quantile in (LOW, HIGH)]
        drawn = {
            pointer: np.array([values.get(pointer, middle) for values in at])
            for pointer, middle in self.middles.items()
        }
        return group_difference(self.ranking, Sample(self.case, len(at), drawn, constants=self.constants))

    def switches(self) -> list[list[float]]:
        """Of each input every sign change in its search range, to nine digits."""
        ranges = np.array([one.search_range() for one in self.moved])
        kept = self._kept(np.repeat(np.arange(len(ranges)), SCANNED), ranges.ravel()).reshape(ranges.shape)
        places = [
            (row, place)
            for row, changed in enumerate(kept[:, 1:] != kept[:, :-1])
            for place in np.nonzero(changed)[0][:MOST_SWITCHES]
        ]
        rows = np.array([row for row, _ in places], dtype=np.intp)
        lows, highs = (np.array([ranges[row, place + step] for row, place in places]) for step in (0, 1))
        lows, highs = changes(lambda values: self._kept(np.tile(rows, SECTIONS + 1), values), lows, highs)
        found: list[list[float]] = [[] for _ in self.moved]
        for row, value in zip(rows.tolist(), ((lows + highs) / 2).tolist(), strict=True):
            found[row].append(value)
        return found

    def _kept(self, which: NDArray[np.intp], values: Floats) -> NDArray[np.bool_]:
        """(n,) Whether the recommendation is kept with input `which` (n,) at these values (n,).

        A capacity looked at here is one that would be known, so that fleets are planned with it.
        """
        drawn = {pointer: np.full(values.size, middle) for pointer, middle in self.middles.items()}
        known_capacity = np.zeros(values.size, dtype=bool)
        for place, one in enumerate(self.moved):
            rows = which == place
            for pointer, moved_values in one.at_value(values[rows]).items():
                drawn[pointer][rows] = moved_values
            known_capacity |= rows & one.is_capacity
        sample = Sample(self.case, values.size, drawn, known_capacity, self.constants)
        kept: NDArray[np.bool_] = group_difference(self.ranking, sample) < 0
        return kept


def _streams(inputs: tuple[Input, ...], compared: set[str]) -> list[Moved]:
    by_stream: dict[str, list[Input]] = {}
    for known in (known for known in inputs if known.low < known.high):
        by_stream.setdefault(known.stream, []).append(known)
    return [Moved(_shown(group, compared), tuple(group)) for group in by_stream.values()]


def _shown(group: list[Input], compared: set[str]) -> Input:
    """Of inputs that move together, one of an option that is compared."""
    return next((known for known in group if known.pointer.split("/")[2] in compared), group[0])


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
