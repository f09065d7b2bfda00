"""Month 1 of an option as it is planned: its rows, its replicas, and how busy they are. Exact where the case is."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from costadvisor.economics.api_lines import api_lines, provisioned_lines
from costadvisor.economics.case import WEEK_HOURS, Case
from costadvisor.economics.composition import base_of, parts_of, shares_of
from costadvisor.economics.costs import api_month
from costadvisor.economics.demand import requests_per_s
from costadvisor.economics.evaluation import Line, Replicas
from costadvisor.economics.figures import exact, percent
from costadvisor.economics.fleet import planned_week, replicas_for, served_weights
from costadvisor.economics.hybrid import base_week
from costadvisor.economics.lines import PaidWeek, fleet_lines
from costadvisor.economics.names import names_by_id
from costadvisor.economics.options import (
    ApiOption,
    HybridOption,
    Option,
    ProvisionedOption,
    RoutedOption,
    SelfHostOption,
)
from costadvisor.economics.terms import line, of_part, term
from costadvisor.economics.values import Exact


@dataclass(frozen=True)
class Running:
    """`lines` are empty where no rate meets the SLO; replicas and what follows are null where there are none."""

    lines: tuple[Line, ...] = ()
    replicas: Replicas | None = None
    utilization: float | None = None
    gpu_hours: float | None = None


def running(case: Case, option: Option, share: Decimal = Decimal(1)) -> Running:
    """Month 1 with that share of the requests."""
    if isinstance(option, ApiOption):
        return Running(api_lines(option, Exact(case, share)))
    if isinstance(option, SelfHostOption):
        return _fleet(case, option, share)
    if isinstance(option, HybridOption):
        return _hybrid(case, option)
    if isinstance(option, RoutedOption):
        return _routed(case, option)
    return Running(provisioned_lines(option, case, planned_units(case, option, float(share))))


def planned_units(case: Case, option: ProvisionedOption, volume: float = 1.0) -> int:
    """Whole units for the busiest hour of a month with that many times the case's requests."""
    peak = requests_per_s(case.workload.requests_per_month, case) * volume * float(served_weights(case).max())
    return int(replicas_for(np.array([peak / float(option.requests_per_s_per_unit)]), option.min_units)[0])


def _fleet(case: Case, option: SelfHostOption, share: Decimal) -> Running:
    week = planned_week(case, option, volume=float(share))
    if week is None:
        return Running()
    same = int(week.replicas[0]) if np.ptp(week.replicas) == 0 and week.replicas[0] % 1 == 0 else None
    paid = PaidWeek(week.replica_hours, week.starts, same)
    replicas = Replicas(min=int(week.replicas.min()), mean=float(week.replicas.mean()), max=week.most)
    return Running(fleet_lines(option, Exact(case), paid), replicas, week.utilization, _gpu_hours(case, option, paid))


def _hybrid(case: Case, option: HybridOption) -> Running:
    """Base and overflow; where the hybrid does not pay, the API alone."""
    base, overflow = base_of(case, option)
    if planned_week(case, base) is None:
        return Running()
    week, month = base_week(case, option), api_month(case, overflow, Exact(case)).total
    share = Decimal(1) if week is None else exact(week.overflow_share)
    names = names_by_id(case)
    terms = (
        term(f"{percent(float(share))} of the requests", share, "share"),
        term("what all of them cost there", month, "USD a month"),
    )
    overflowing = line(option.id, f"{names[overflow.id]}: Overflow", terms, month * share)
    if week is None:
        return Running((overflowing,), Replicas(min=0, mean=0.0, max=0))
    same = week.replicas if week.replica_hours == week.replicas * WEEK_HOURS else None
    paid = PaidWeek(exact(week.replica_hours), exact(week.starts), same)
    return Running(
        (*of_part(names[base.id], fleet_lines(base, Exact(case), paid)), overflowing),
        Replicas(min=week.least, mean=week.replica_hours / WEEK_HOURS, max=week.replicas),
        week.utilization,
        _gpu_hours(case, base, paid),
    )


def _routed(case: Case, option: RoutedOption) -> Running:
    """The rows of both parts at their shares; what is counted is of the own fleet, if there is one."""
    parts = list(zip(parts_of(case, option), shares_of(option), strict=True))
    found = [(part.id, running(case, part, share)) for part, share in parts]
    if not all(part.lines for _, part in found):
        return Running()
    names = names_by_id(case)
    lines = tuple(
        row for id_, part in found for row in of_part(names[id_], part.lines, f"/options/{option.id}/small_share")
    )
    fleets = [part for _, part in found if part.replicas]
    if len(fleets) != 1:
        return Running(lines)
    (fleet,) = fleets
    return Running(lines, fleet.replicas, fleet.utilization, fleet.gpu_hours)


def _gpu_hours(case: Case, option: SelfHostOption, paid: PaidWeek) -> float:
    starting = paid.starts * option.scaling.cold_start_s / 3600
    return float((paid.replica_hours + starting) * case.hours_per_month / WEEK_HOURS) * option.hardware.gpus_per_replica
