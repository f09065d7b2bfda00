"""The request rate that one replica sustains inside the SLO, as planned with and as it may turn out."""

from decimal import Decimal

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.demand import Floats
from costadvisor.economics.errors import CaseError
from costadvisor.economics.options import Capacity, SelfHostOption
from costadvisor.economics.values import Sample
from costadvisor.economics.vocabulary import Grade

# Multipliers low, mode, high by grade, for a capacity without bounds of its own.
GRADE_BOUNDS: dict[Grade, tuple[str, str, str]] = {
    "A": ("0.92", "1", "1.08"),
    "B": ("0.85", "1", "1.12"),
    "C": ("0.6", "1", "1.3"),
    "D": ("0.4", "0.8", "1.2"),
    "E": ("0.3", "1", "1.5"),
}
# Sustained share of the rate found with Poisson arrivals (1), by gamma shape of the arrivals, from simulation.
BURST_DERATING = ((Decimal("0.25"), Decimal("0.78")), (Decimal("0.5"), Decimal("0.91")), (Decimal(1), Decimal(1)))


def resolved_capacity(option: SelfHostOption) -> Capacity:
    """The option's capacity; CaseError where it is missing or still a record to read."""
    path, capacity = f"/options/{option.id}/capacity", option.capacity
    if capacity is None:
        raise CaseError(path, "is missing", "give requests_per_s or tokens_per_s")
    if capacity.requests_per_s is None and capacity.tokens_per_s is None:
        raise CaseError(f"{path}/record", "is not resolved", "read the record and give requests_per_s")
    return capacity


def capacity_unit(capacity: Capacity) -> str:
    """The key that holds the rate: `requests_per_s` or `tokens_per_s`."""
    return "requests_per_s" if capacity.requests_per_s is not None else "tokens_per_s"


def burst_derating(burstiness: Decimal) -> Decimal:
    """1 from Poisson arrivals on; between the table's rows on a line, and below the last on the same line."""
    if burstiness >= 1:
        return Decimal(1)
    (low, at_low), (high, at_high) = BURST_DERATING[:2] if burstiness < Decimal("0.5") else BURST_DERATING[1:]
    return at_low + (burstiness - low) * (at_high - at_low) / (high - low)


def planning_requests_per_s(case: Case, option: SelfHostOption) -> Decimal:
    """The rate a fleet is planned with: `low` where it is given, else the value. 0 where no rate meets the SLO."""
    capacity = resolved_capacity(option)
    value: Decimal = getattr(capacity, capacity_unit(capacity))
    planned = value if capacity.low is None else capacity.low
    requests_per_unit = Decimal(1) if capacity.tokens_per_s is None else 1 / _stated_tokens_per_request(case, option)
    return planned * requests_per_unit * _derating(case, capacity)


def sampled_requests_per_s(sample: Sample, option: SelfHostOption) -> Floats:
    """(draws,) The rate fleets are sized by: one adds replicas when reality is worse than planned, never fewer."""
    capacity = resolved_capacity(option)
    drawn = sample(f"/options/{option.id}/capacity/{capacity_unit(capacity)}")
    rate = drawn * _requests_per_unit(option, sample) * float(_derating(sample.case, capacity))
    planned = float(planning_requests_per_s(sample.case, option))
    sized_by = np.where(sample.replanned, rate, np.minimum(rate, planned))
    return np.broadcast_to(np.asarray(sized_by, dtype=np.float64), (sample.draws,))


def _derating(case: Case, capacity: Capacity) -> Decimal:
    """A record has the burstiness in its figure already."""
    return Decimal(1) if capacity.record is not None else burst_derating(case.workload.burstiness)


def _requests_per_unit(option: SelfHostOption, sample: Sample) -> Floats | float:
    """What turns the stated rate into requests a second at the sample's lengths.

    A rate in requests holds at the case's own lengths; with other lengths it moves inversely to their tokens.
    """
    ratio = option.token_ratio
    inputs = sample("/workload/input_tokens/mean") * float(ratio.input)
    outputs = sample("/workload/output_tokens/mean") * float(ratio.output)
    if resolved_capacity(option).tokens_per_s is not None:
        return 1 / (inputs + outputs)
    return float(_stated_tokens_per_request(sample.case, option)) / (inputs + outputs)


def _stated_tokens_per_request(case: Case, option: SelfHostOption) -> Decimal:
    workload, ratio = case.workload, option.token_ratio
    return (workload.input_tokens.mean or 0) * ratio.input + (workload.output_tokens.mean or 0) * ratio.output
