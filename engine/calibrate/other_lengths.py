"""What a calibrated replica can do for requests that were not sent to it: λ* simulated from the record's step model.

A short simulation is off where the replica is nearly full, and so is a model; both are off alike at the lengths that
were measured. So these are simulated too, and what the record states is carried over by the ratio of the two. How much
less is known of other lengths is said by the covariance of the model's coefficients. No server is asked.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.calibrate.capacity import WARM_IN_SHARE, CurvePoint, Search
from engine.calibrate.record import Record
from engine.calibrate.record_derived import StepModelFit
from engine.calibrate.record_parts import TokenDistribution
from engine.calibrate.roofline import saturated_per_s
from engine.calibrate.simulator import OpenLoad
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel, totals
from engine.calibrate.workload import Lengths, Workload
from engine.calibrate.workload.distribution import distribution_read
from engine.config import SchedulerConfig
from engine.errors import InputError

RUNS, REQUESTS = 2, 400  # a run
NARROW = 0.08  # of its upper end: a bracket in which a line will do
FIRST_SHARE = 0.8  # of the saturated rate
MOST_ROUNDS = 9
STANDARD_ERRORS = 3.0  # of the time that steps take: their covariance says too little where lengths were all alike
ROUGHNESS = 0.05  # of the ratio, from so few requests: a test holds it to that

Pairs = tuple[Sequence[tuple[float, float]], Sequence[float]]  # of tokens (prompt, answer), and their weights


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Mean tokens of a request, and where it is known the (tokens, share of requests) around it."""

    mean: float
    shares: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests and limits that a record's own were not."""

    input_tokens: TokenCounts
    output_tokens: TokenCounts
    burstiness: float
    slo: Slo


@dataclass(frozen=True, slots=True)
class SimulatedRate:
    """λ* with a 95 % interval, in requests a second; 0 where even a lone request misses the SLO. `stretch` is the part
    of the interval that comes of lengths which the model was not fitted on, over the rate."""

    requests_per_s: float
    low: float
    high: float
    stretch: float = 0.0


@dataclass(frozen=True, slots=True)
class Replica:
    """The engine as it was, and how long its steps took."""

    config: SchedulerConfig
    fit: StepModelFit
    model: StepModel
    seed: int

    def rate(self, workload: Workload, slo: Slo) -> float:
        """λ* by a few short runs, 0 for none; raises InputError for requests that the replica had no room for."""
        search = self.search(workload, slo)
        most = saturated_per_s(self.config, self.model.ms, workload, self.seed)
        points = self._bracketed(search, most)
        if not any(self._inside(search, point) for point in points):
            points.append(search.point(self.model.ms, 0.0, RUNS))
        return search.root(sorted(points, key=lambda point: point.rate), range(RUNS))[0] or 0.0

    def search(self, workload: Workload, slo: Slo) -> Search:
        longest = workload.longest.total
        if longest > min(self.config.max_model_len, (self.config.num_blocks - 1) * self.config.block_size):
            raise InputError(f"the replica had no room for a request of {longest:,} tokens")
        search = Search(self.config, workload, slo, self.seed)
        search.loads = [OpenLoad.draw(workload, REQUESTS, [self.seed, run]) for run in range(RUNS)]
        search.warm_in = round(WARM_IN_SHARE * REQUESTS)
        return search

    def _bracketed(self, search: Search, most: float) -> list[CurvePoint]:
        """Rates on both sides of λ*, by bisection up to the saturated rate."""
        ms, first = self.model.ms, FIRST_SHARE * most
        points, low, high = [search.point(ms, first, RUNS)], 0.0, first
        if self._inside(search, points[0]):
            points.append(search.point(ms, most, RUNS))
            low, high = (most, most) if self._inside(search, points[1]) else (first, most)
        while high - low > NARROW * high and len(points) < MOST_ROUNDS:
            points.append(search.point(ms, (low + high) / 2, RUNS))
            low, high = (points[-1].rate, high) if self._inside(search, points[-1]) else (low, points[-1].rate)
        return points

    @staticmethod
    def _inside(search: Search, point: CurvePoint) -> bool:
        return search.root([point], range(RUNS))[0] is not None

    def standard_error(self, workload: Workload, slo: Slo, rate: float) -> float:
        """Of the time that the steps at a rate take in all, over that time."""
        coefficients = self.model.coefficients
        steps = self.search(workload, slo).steps(self.model.ms, rate)
        of_terms = dict(zip(coefficients, totals(steps, self.model), strict=True))
        work = np.array([of_terms.get(term, 0.0) for term in self.fit.terms])
        variance = float(work @ np.array(self.fit.covariance) @ work)
        return math.sqrt(max(variance, 0.0)) / sum(of_terms[term] * ms for term, ms in coefficients.items())


def own_rate(record: Record) -> float | None:
    """λ* of what was sent to the record's replica, by as few runs as `rate_at` takes; None where the lengths are not in
    the record."""
    try:
        pairs = _own_pairs(record)
    except InputError:
        return None
    slo = Slo(record.slo.ttft_p95_ms, record.slo.tpot_p95_ms)
    return _replica(record).rate(_workload(pairs, record.workload.burstiness or 1.0), slo)


def rate_at(record: Record, asked: Asked, own: float | None) -> SimulatedRate:
    """`own` is the record's `own_rate`. Raises InputError where the record can't say: no step model of its own, lengths
    that it does not hold, no room."""
    replica = _replica(record)
    workload = _workload(_asked_pairs(record, asked), asked.burstiness)
    rate = replica.rate(workload, asked.slo)
    if not rate:
        return SimulatedRate(0.0, 0.0, 0.0)
    stretch = STANDARD_ERRORS * replica.standard_error(workload, asked.slo, rate)
    wider, stated = 1 + ROUGHNESS + stretch, record.derived.max_rate
    if stated is None or not own:
        wider += replica.fit.mdape or 0.0
        return SimulatedRate(rate, rate / wider, rate * wider, stretch)
    ratio = rate / own
    low, high = ratio * stated.low / wider, ratio * stated.high * wider
    return SimulatedRate(ratio * stated.requests_per_s, low, high, stretch)


def _replica(record: Record) -> Replica:
    """Without shared beginnings a prefix cache finds nothing, so it is left out."""
    fit, names = record.derived.step_model, ("max_batch", "token_budget", "block_size", "num_blocks", "max_model_len")
    known = {name: getattr(record.engine, name) for name in names}
    if fit is None or record.derived.scaled is not None or None in known.values():
        raise InputError("the record has no step model of its own, or does not say how the engine was set up")
    if record.derived.no_rate_because not in (None, "slo_unreachable"):
        raise InputError(f"the record states no rate ({record.grade.basis})")
    if record.workload.prefix_hit_share:
        raise InputError("prompts of the record shared beginnings, and nobody says what these would share")
    config = SchedulerConfig(**known, prefix_cache=False)
    return Replica(config, fit, StepModel.read(fit.coefficients), record.seed or 0)


def _workload(pairs: Pairs, burstiness: float) -> Workload:
    lengths = tuple(Lengths(max(1, round(prompt)), max(1, round(answer))) for prompt, answer in pairs[0])
    return Workload("fixed" if len(lengths) == 1 else "mix", lengths, tuple(pairs[1]), burstiness)


def _asked_pairs(record: Record, asked: Asked) -> Pairs:
    """Spread as their shares say; else as the record's own lengths are, stretched to the means."""
    inputs, outputs = asked.input_tokens, asked.output_tokens
    if inputs.shares or outputs.shares:
        return _each_with_each(*(counts.shares or ((counts.mean, 1.0),) for counts in (inputs, outputs)))
    own, (lengths, weights) = record.workload, _own_pairs(record)
    longer, wordier = inputs.mean / own.mean_input_tokens, outputs.mean / own.mean_output_tokens
    return [(prompt * longer, answer * wordier) for prompt, answer in lengths], weights


def _own_pairs(record: Record) -> Pairs:
    own = record.workload
    if own.mix is not None:
        return [(float(pair.input), float(pair.output)) for pair in own.mix], [pair.weight for pair in own.mix]
    if own.input_tokens is None or own.output_tokens is None:
        raise InputError("the record does not hold the lengths it was measured with")
    return _each_with_each(_shares(own.input_tokens), _shares(own.output_tokens))


def _shares(counts: TokenDistribution) -> Sequence[tuple[float, float]]:
    found = distribution_read("tokens", counts.model_dump(mode="json"))
    return list(zip(found.tokens, found.shares, strict=True))


def _each_with_each(inputs: Sequence[tuple[float, float]], outputs: Sequence[tuple[float, float]]) -> Pairs:
    """Two distributions say nothing of which lengths come together."""
    pairs = list(itertools.product(inputs, outputs))
    return [(one, other) for (one, _), (other, _) in pairs], [one * other for (_, one), (_, other) in pairs]
