"""Where serving it ourselves is cheaper than an API, in API dollars, requests and tokens a month.

The traffic is scaled with its mix and shape fixed, from $10 to $10M of API spend in month 1. A fleet whose replicas are
paid by the hour is solved on every step of its staircase; any other cost by probing (see `crossings`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from costadvisor.economics.capacity import capacity_unit, planning_requests_per_s, resolved_capacity
from costadvisor.economics.case import Case
from costadvisor.economics.cashflow import option_totals
from costadvisor.economics.composition import fleets_of, paid_around_the_clock, parts_of, shares_of
from costadvisor.economics.costs import api_month
from costadvisor.economics.crossings import holding_stretches
from costadvisor.economics.demand import Floats
from costadvisor.economics.evaluation import BreakEven, Interval
from costadvisor.economics.figures import count, exact, prose_usd, rate_usd
from costadvisor.economics.fleet import MOST_REPLICAS, TOLERANCE, planned_week
from costadvisor.economics.fleet_staircase import (
    Basis,
    fleet_staircase,
    horizon_basis,
    is_on_steps,
    month_1_basis,
    peak_load_per_request,
)
from costadvisor.economics.names import names_by_id
from costadvisor.economics.options import ApiOption, HybridOption, Option, RoutedOption, SelfHostOption
from costadvisor.economics.staircase import Cheaper, cheaper_stretches, merged
from costadvisor.economics.values import VOLUME, Exact, Sample

LOWEST_API_USD, HIGHEST_API_USD = 10.0, 10e6
MOST_INTERVALS = 20
PROBES = 1401  # closer to each other than the gaps that are merged
# Steps of up to so many replicas are probed on both sides; above it a step is less than a hundredth.
MOST_PROBED_STEPS = 100
# A multiple of the highest volume at which people, spares and the last step of a fleet no longer count.
LIMIT_VOLUME = 1e4
# Two amounts nearer than this are equal.
NOISE = 1e-9


def break_evens(case: Case, option: Option, api: ApiOption) -> Iterator[BreakEven]:
    """Of month 1's running cost and of the horizon's total; none where no rate meets the SLO.

    A hybrid plans its base over the horizon, so that is the one basis it has.
    """
    if any(planning_requests_per_s(case, fleet) <= 0 for fleet in fleets_of(case, option)):
        return
    requests = case.workload.requests_per_month
    usd_per_request = float(api_month(case, api, Exact(case)).total / requests)
    if usd_per_request <= 0:
        return
    over_horizon = horizon_basis(case)
    for basis in (over_horizon,) if isinstance(option, HybridOption) else (month_1_basis(), over_horizon):
        yield _Comparison(case, option, api, basis, usd_per_request).result()


def running_usd(case: Case, option: Option, requests_per_month: Floats) -> Floats | None:
    """(n,) Month 1's running cost at these volumes, each planned anew; None where no rate meets the SLO."""
    if any(planning_requests_per_s(case, fleet) <= 0 for fleet in fleets_of(case, option)):
        return None
    return option_totals(option, at_volumes(case, requests_per_month)).usd_per_month


def cost_gap(case: Case, option: Option, api: ApiOption, requests_per_month: Floats) -> Floats:
    """(n,) Month 1's running cost of the option less the API's at these volumes, by pricing each month anew."""
    sample = at_volumes(case, requests_per_month)
    gap: Floats = option_totals(option, sample).usd_per_month - option_totals(api, sample).usd_per_month
    return gap


def at_volumes(case: Case, requests_per_month: Floats, constants: dict[str, float] | None = None) -> Sample:
    """The case at these volumes (n,), each planned for as the case itself is; `constants` are a sample's."""
    drawn = {VOLUME: requests_per_month}
    for option in case.options:
        if isinstance(option, SelfHostOption):
            capacity = resolved_capacity(option)
            unit = capacity_unit(capacity)
            planned = capacity.low if capacity.low is not None else getattr(capacity, unit)
            drawn[f"/options/{option.id}/capacity/{unit}"] = np.full(requests_per_month.size, float(planned))
    return Sample(case, requests_per_month.size, drawn, True, {} if constants is None else constants)


@dataclass(frozen=True)
class _Found:
    """What `_message` and the intervals are made from; amounts are of the basis, per request of month 1."""

    cheaper: Cheaper
    highest: float
    limit: int | None
    own_usd_per_request: float


@dataclass(frozen=True)
class _Comparison:
    """One option against one API on one basis; volumes are in requests of month 1."""

    case: Case
    option: Option
    api: ApiOption
    basis: Basis
    month_1_usd_per_request: float

    @cached_property
    def api_usd_per_request(self) -> float:
        """On the basis: a line through the origin."""
        return self.month_1_usd_per_request * float(self.basis.volume @ self.basis.api_price)

    @cached_property
    def _constants(self) -> dict[str, float]:
        """What the samples of this comparison have in common, looked up once."""
        return {}

    @cached_property
    def _priced_case(self) -> Case:
        """Month 1 does not depend on the months after it."""
        return self.case if self.basis.name != "month_1" else self.case.model_copy(update={"horizon_months": 1})

    def result(self) -> BreakEven:
        if isinstance(self.option, SelfHostOption) and is_on_steps(self.option, self.basis):
            found = self._on_steps(self.option)
        else:
            found = self._by_probing()
        stretches = found.cheaper.stretches
        never = not stretches and found.own_usd_per_request >= self.api_usd_per_request * (1 - NOISE)
        open_ended = bool(stretches) and found.limit is None and stretches[-1][1] >= found.highest
        always_from = stretches[-1][0] if open_ended else None
        intervals = [
            self._interval(start, None if open_ended and place == len(stretches) else stop)
            for place, (start, stop) in enumerate(stretches, start=1)
        ]
        return BreakEven(
            option=self.option.id,
            versus=self.api.id,
            basis=self.basis.name,
            never=never,
            always_from_api_usd_per_month=None if always_from is None else self._usd(always_from),
            intervals=tuple(intervals[:MOST_INTERVALS]),
            message=self._message(found, never=never, open_ended=open_ended),
        )

    def _volumes(self) -> tuple[float, float]:
        return LOWEST_API_USD / self.month_1_usd_per_request, HIGHEST_API_USD / self.month_1_usd_per_request

    def _on_steps(self, option: SelfHostOption) -> _Found:
        fleet = fleet_staircase(self.case, option, self.basis)
        lowest, highest = self._volumes()
        limit = MOST_REPLICAS if option.scaling.max_replicas is None else option.scaling.max_replicas
        most = max(limit - option.scaling.spare_replicas, 0) / float(fleet.loads.max())
        reached = None if most >= highest else limit
        end = min(most, highest)
        cheaper = cheaper_stretches(fleet, self.api_usd_per_request, lowest, end)
        return _Found(cheaper, end, reached, fleet.usd_per_request)

    def _by_probing(self) -> _Found:
        lowest, highest = self._volumes()

        def holds(volumes: Floats) -> NDArray[np.bool_]:
            own, api, feasible = self._priced(volumes)
            return (own < api * (1 - NOISE)) & feasible

        cheaper = Cheaper(merged(*holding_stretches(holds, self._probes(lowest, highest))), None)
        far = np.array([highest * LIMIT_VOLUME])
        return _Found(cheaper, highest, None, float(self._priced(far)[0][0] / far[0]))

    def _priced(self, volumes: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        own = option_totals(self.option, at_volumes(self._priced_case, volumes, self._constants))
        usd = own.usd_per_month if self.basis.name == "month_1" else own.tco_usd
        return usd, volumes * self.api_usd_per_request, own.feasible

    def _probes(self, lowest: float, highest: float) -> Floats:
        """Evenly on a logarithmic scale, and on both sides of the first steps of each month's fleet."""
        found = [np.geomspace(lowest, highest, PROBES)]
        for fleet, share in self._fleets():
            if share > 0 and (paid_around_the_clock(fleet) or is_on_steps(fleet, self.basis)):
                per_request = share * peak_load_per_request(self.case, fleet) * np.unique(self.basis.volume)
                edges = np.outer(1 / (per_request * (1 - TOLERANCE)), np.arange(1, MOST_PROBED_STEPS + 1)).ravel()
                found += [edges * (1 - NOISE), edges * (1 + NOISE)]
        probes = np.unique(np.concatenate(found))
        return probes[(probes >= lowest) & (probes <= highest)]

    def _fleets(self) -> Iterator[tuple[SelfHostOption, float]]:
        """Those whose steps show in the option's cost, with the share of requests that each of them gets."""
        if isinstance(self.option, SelfHostOption):
            yield self.option, 1.0
        if isinstance(self.option, RoutedOption):
            for part, share in zip(parts_of(self.case, self.option), shares_of(self.option), strict=True):
                if isinstance(part, SelfHostOption):
                    yield part, float(share)

    def _usd(self, volume: float) -> Decimal:
        return exact(volume * self.month_1_usd_per_request)

    def _interval(self, start: float, stop: float | None) -> Interval:
        workload = self.case.workload
        tokens = float((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
        return Interval(
            from_api_usd_per_month=self._usd(start),
            to_api_usd_per_month=None if stop is None else self._usd(stop),
            from_requests_per_month=start,
            to_requests_per_month=stop,
            from_tokens_per_month=start * tokens,
            to_tokens_per_month=None if stop is None else stop * tokens,
        )

    def _message(self, found: _Found, *, never: bool, open_ended: bool) -> str:
        if never:
            return self._never(found)
        by, api = self._by(), names_by_id(self.case)[self.api.id]
        if not found.cheaper.stretches:
            anywhere = "anywhere from $10 to $10M of API spend a month"
            end = f"with up to {count(found.limit, 'replica')}" if found.limit else anywhere
            return f"Not cheaper than {api} {end}, by {by}."
        text = f"Cheaper than {api} {self._where(found.cheaper, open_ended)}, by {by}"
        if found.cheaper.examined_to is not None:
            text += f"; not examined above {prose_usd(self._usd(found.cheaper.examined_to))}"
        return text + "."

    def _never(self, found: _Found) -> str:
        names = names_by_id(self.case)
        if isinstance(self.option, HybridOption):
            return f"Never: no replica of {names[self.option.base]} takes from {names[self.api.id]} what it costs."
        own, api = (self._prose_per_mtok(usd) for usd in (found.own_usd_per_request, self.api_usd_per_request))
        what = "one full replica" if isinstance(self.option, SelfHostOption) else "however large, it"
        return f"Never: {what} costs {own} per million tokens, {names[self.api.id]} {api}, by {self._by()}."

    def _by(self) -> str:
        months = count(self.case.horizon_months, "month")
        return "running cost" if self.basis.name == "month_1" else f"total cost over {months}"

    def _where(self, found: Cheaper, open_ended: bool) -> str:
        """From the first stretch on; with gaps where there are more, up to the last."""
        start, (last_start, last_stop) = found.stretches[0][0], found.stretches[-1]
        more = len(found.stretches) > 1
        first, last = (prose_usd(self._usd(volume)) for volume in (start, last_start if open_ended else last_stop))
        spend = f"of API spend a month{self._replicas(start)}"
        if open_ended:
            return f"from {first} {spend}" + (f", with gaps up to {last}" if more else "")
        between = f"between {first} and {last}" if first != last else f"at about {first}"
        return f"{between} {spend}" + (", with gaps" if more else "")

    def _replicas(self, volume: float) -> str:
        """Of the busiest hour in month 1, at a volume just above this one."""
        if not isinstance(self.option, SelfHostOption):
            return ""
        scale = volume / float(self.case.workload.requests_per_month)
        week = planned_week(self.case, self.option, volume=scale * (1 + 1e-6))
        return f" ({count(week.most, 'replica')})" if week else ""

    def _prose_per_mtok(self, usd_per_request: float) -> str:
        """Over the horizon both sides are totals, so they are shown per token of a mean month."""
        workload = self.case.workload
        tokens = float((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
        months = float(self.basis.volume @ self.basis.flat)
        return rate_usd(usd_per_request / months / tokens * 1e6)
