"""Options worth a look for a workload, from the catalog and the organization's own records.

Each is priced and sized for this workload by the resolver that answers a case; what cannot be is not proposed.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from costadvisor.catalog.snapshot import Catalog
from costadvisor.common.money import money_in_prose
from costadvisor.decisions import candidates
from costadvisor.decisions.candidates import Candidate
from costadvisor.decisions.capacity import PUBLISHED, STORED
from costadvisor.decisions.resolve import Records, case_resolve
from costadvisor.decisions.written import with_option
from costadvisor.economics import Case, CaseError, parse_case
from costadvisor.economics.capacity import planning_requests_per_s
from costadvisor.economics.costs import api_month, resolved_prices
from costadvisor.economics.names import option_name
from costadvisor.economics.options import ApiOption, SelfHostOption
from costadvisor.economics.values import Exact
from engine.calibrate.record import Record

Json = Mapping[str, Any]
FLEETS_SUGGESTED = 2
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Proposal:
    """`usd_per_request` is the list price of an API and that of a full replica: to list by, not what it will cost."""

    candidate: Candidate
    name: str
    note: str
    usd_per_request: Decimal
    suggested: bool = False

    @property
    def kind(self) -> str:
        """What to list it under."""
        if self.candidate.key.startswith(PUBLISHED):
            return "Self-hosted on rented GPUs, by a published measurement"
        if self.candidate.key.startswith(STORED):
            return "Self-hosted, by your own calibration"
        return "Hosts of open models"


def proposals(case: Json, *, records: Iterable[Record], catalog: Catalog | None = None) -> list[Proposal]:
    """For a written case: own measurements, then the cheapest host of each open model, then of each model and GPU the
    published measurement that gives most. Suggested are one open model's host and its cheapest fleets."""
    own = list(records)
    stored: Records = {record.sha256: record for record in own}.get
    measured = list(_proposed(case, candidates.measured(own), stored, catalog))
    hosts = _cheapest(_proposed(case, candidates.hosts(), stored, catalog), lambda proposal: proposal.candidate.model)
    fleets = _cheapest(_proposed(case, candidates.published(), stored, catalog), lambda proposal: proposal.name)
    chosen = _suggested(hosts, [*measured, *fleets])
    return [replace(proposal, suggested=proposal in chosen) for proposal in (*measured, *hosts, *fleets)]


def _proposed(case: Json, found: Iterable[Candidate], stored: Records, catalog: Catalog | None) -> Iterator[Proposal]:
    for candidate in found:
        written = with_option({**case, "options": case["options"][:1]}, candidate.written)
        try:
            resolved = case_resolve(parse_case(written), folder=None, records=stored, catalog=catalog)
        except CaseError:
            continue
        option = resolved.options[-1]
        if isinstance(option, ApiOption):
            yield _hosted(resolved, option, candidate)
        elif isinstance(option, SelfHostOption) and planning_requests_per_s(resolved, option):
            yield _rented(resolved, option, candidate)


def _hosted(case: Case, option: ApiOption, candidate: Candidate) -> Proposal:
    prices = resolved_prices(option)
    note = f"{_rate(prices.input_usd_per_mtok)} in, {_rate(prices.output_usd_per_mtok)} out per M tokens"
    usd_per_request = api_month(case, option, Exact(case)).total / case.workload.requests_per_month
    return Proposal(candidate, option_name(option), note, usd_per_request)


def _rate(usd: Decimal) -> str:
    """To the cent at least, and as exactly as it is listed."""
    return f"${max(usd, usd.quantize(Decimal('0.01')), key=lambda amount: -int(amount.as_tuple().exponent)):f}"


def _rented(case: Case, option: SelfHostOption, candidate: Candidate) -> Proposal:
    rate, rent = planning_requests_per_s(case, option), option.hardware.usd_per_hour or Decimal(0)
    grade = option.capacity.grade if option.capacity else "E"
    note = f"{float(rate):.3g} requests/s a replica (grade {grade}), {money_in_prose(rent, 'USD')} an hour"
    return Proposal(candidate, option_name(option), note, rent / (rate * SECONDS_PER_HOUR))


def _cheapest(found: Iterable[Proposal], group: Callable[[Proposal], Hashable]) -> list[Proposal]:
    """The cheapest of each group, cheapest first."""
    best: dict[Hashable, Proposal] = {}
    for proposal in sorted(found, key=lambda proposal: (proposal.usd_per_request, proposal.candidate.key)):
        best.setdefault(group(proposal), proposal)
    return list(best.values())


def _suggested(hosts: list[Proposal], fleets: list[Proposal]) -> list[Proposal]:
    """One open model, so that its hosts and its fleets compare: of those with both, the one that most GPUs were
    measured with. A measurement on a CPU is no suggestion for serving."""
    on_gpu = [fleet for fleet in fleets if fleet.candidate.written.option["hardware"]["gpu"] != "CPU"]
    by_model = {
        host.candidate.model: [f for f in on_gpu if f.candidate.model == host.candidate.model] for host in hosts
    }
    model = max(by_model, key=lambda name: len(by_model[name]), default=None)
    if model is None:
        return []
    host = next(host for host in hosts if host.candidate.model == model)
    return [host, *by_model[model][:FLEETS_SUGGESTED]]
