"""What it would be worth to know more before deciding, and what to learn first.

EVPI is the lowest expected cost less the expected lowest cost, over the horizon, among the best option and those of the
other group. The value of one input is estimated by regressing each option's difference on Chebyshev polynomials of the
input's quantile (Strong, Oakley and Brennan 2014), with its standard error from the coefficients' own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import Totals
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import InputValue, ValueOfInformation
from costadvisor.economics.figures import exact
from costadvisor.economics.inputs import Input
from costadvisor.economics.options import SelfHostOption
from costadvisor.economics.pointers import option_by_id
from costadvisor.economics.ranking import Ranking, ranked_usd
from costadvisor.economics.sampling import uniform

DEGREE = 5
DRAWS_PER_DEGREE = 50
GRID = 81
SIMULATED = 100

# What it takes to learn a number: a day or two of an engineer, and GPU time for a calibration. Settings of this model.
CALIBRATION_USD, CALIBRATION_HOURS = Decimal(400), Decimal(20) / 60
LOGS_USD = Decimal(400)
QUOTE_USD = Decimal(200)
ESTIMATE_USD = Decimal(1_600)
FAIR_PRICE = ("prices/", "usd_per_hour", "purchase_usd", "usd_per_unit_hour", "usd_per_kwh", "colocation", "power_kw")


def value_of_information(
    case: Case, ranking: Ranking, inputs: Sequence[Input], totals: Mapping[str, Totals]
) -> ValueOfInformation | None:
    """None where there is no option of the other group to choose instead. Inputs in order of what they are worth."""
    if not ranking.rivals:
        return None
    costs = compared_usd(ranking, totals)
    evpi = expected_gain(costs)
    values = [_worth(case, group, costs, evpi) for group in _by_stream(inputs)]
    known = sorted((value for value in values if value.usd > 0), key=lambda value: -value.usd)
    return ValueOfInformation(evpi_usd=exact(evpi), inputs=tuple(known))


def compared_usd(ranking: Ranking, totals: Mapping[str, Totals]) -> Floats:
    """(options, draws) TCO of the best option and its rivals. What cannot be had costs as much as the dearest."""
    usd = np.array([ranked_usd(totals[option.id]) for option in (ranking.best, *ranking.rivals)])
    plain = np.array([totals[option.id].tco_usd for option in (ranking.best, *ranking.rivals)])
    return np.where(np.isfinite(usd), usd, plain.max(axis=0))


def expected_gain(costs: Floats) -> float:
    """(options, n) What choosing after the draw is known saves, on average."""
    return max(float(costs.mean(axis=1).min() - costs.min(axis=0).mean()), 0.0)


@dataclass(frozen=True)
class _Fit:
    """Each option's cost less the first one's, given the input: coefficients (terms, options) and their spread."""

    coefficients: Floats
    covariance: Floats
    noise: Floats


def _worth(case: Case, group: Sequence[Input], costs: Floats, evpi: float) -> InputValue:
    """Of inputs that move together, known together."""
    pointer = group[0].pointer
    quantile = uniform(case.seed, group[0].stream, costs.shape[1])
    value, error = partial_value(quantile, costs)
    learnable, usd = cost_to_learn(case, pointer)
    return InputValue(
        input=pointer,
        usd=exact(min(value, evpi)),
        standard_error_usd=exact(error),
        learnable=learnable,
        cost_to_learn_usd=usd,
    )


def partial_value(quantile: Floats, costs: Floats) -> tuple[float, float]:
    """What knowing an input at quantiles (draws,) saves, and the standard error of that."""
    degree = min(DEGREE, costs.shape[1] // DRAWS_PER_DEGREE)
    fit = _fitted(_polynomials(quantile, degree), costs)
    middles = (np.arange(GRID) + 0.5) / GRID
    grid = _polynomials(middles, degree)
    value = expected_gain((grid @ fit.coefficients).T)
    shaken = grid @ (fit.coefficients + _shaken(fit))
    gains = shaken.mean(axis=1).min(axis=1) - shaken.min(axis=2).mean(axis=1)
    return value, float(gains.std())


def _polynomials(quantile: Floats, degree: int) -> Floats:
    """(n, degree + 1) Chebyshev's."""
    terms: Floats = np.polynomial.chebyshev.chebvander(2 * quantile - 1, degree).astype(np.float64)
    return terms


def _fitted(design: Floats, costs: Floats) -> _Fit:
    difference = (costs - costs[0]).T
    inverse = np.linalg.inv(design.T @ design).astype(np.float64)
    coefficients = inverse @ (design.T @ difference)
    residual = difference - design @ coefficients
    noise: Floats = residual.T @ residual / len(residual)
    return _Fit(coefficients, inverse, noise)


def _shaken(fit: _Fit) -> Floats:
    """(SIMULATED, terms, options) errors of the coefficients, from the same normal numbers for every input."""
    shape = (SIMULATED, *fit.coefficients.shape)
    size = math.prod(shape)
    radius = np.sqrt(-2 * np.log(uniform(0, "radius", size)))
    normal = (radius * np.cos(2 * np.pi * uniform(0, "angle", size))).reshape(shape)
    errors: Floats = _root(fit.covariance) @ normal @ _root(fit.noise)
    return errors


def _root(covariance: Floats) -> Floats:
    """The symmetric one, which does not depend on the signs of eigenvectors."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    return root


def _by_stream(inputs: Sequence[Input]) -> list[list[Input]]:
    streams: dict[str, list[Input]] = {}
    for known in (known for known in inputs if known.low < known.high):
        streams.setdefault(known.stream, []).append(known)
    return list(streams.values())


def cost_to_learn(case: Case, pointer: str) -> tuple[bool, Decimal]:
    """Whether a number can be learned before deciding, and what that takes. The future can't."""
    if pointer.startswith("/drift/") or pointer.endswith("growth_per_month"):
        return False, Decimal(0)
    if "/capacity/" in pointer or pointer.endswith("cold_start_s"):
        return True, CALIBRATION_USD + _gpu_time(case, pointer)
    if pointer.endswith("requests_per_s_per_unit"):
        return True, CALIBRATION_USD
    if "/operations/" in pointer:
        return True, ESTIMATE_USD
    return True, QUOTE_USD if any(word in pointer for word in FAIR_PRICE) else LOGS_USD


def _gpu_time(case: Case, pointer: str) -> Decimal:
    option = option_by_id(case, pointer.removeprefix("/options/").split("/", 1)[0])
    hourly = option.hardware.usd_per_hour if isinstance(option, SelfHostOption) else None
    return (hourly or Decimal(0)) * CALIBRATION_HOURS


def worth_learning(information: ValueOfInformation | None) -> list[InputValue]:
    """What can be learned for less than it is worth, and is told apart from nothing: the widest margin first."""
    if information is None:
        return []
    found = [
        value
        for value in information.inputs
        if value.learnable and value.usd > value.cost_to_learn_usd and value.usd > 2 * value.standard_error_usd
    ]
    return sorted(found, key=lambda value: value.cost_to_learn_usd - value.usd)
