"""The options worth comparing for a case: what it may run on, and each way to pay for it, ranked by its cost.

Hosts of open models and measurements are the catalog's and the organization's; GPUs on which a model fits that nobody
measured there are by arithmetic (`fits`). Of the best fleets every plan that has a price is tried, and a base of them
with today's API above it. Each is priced, sized and held against the constraints by what answers the case.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from costadvisor.catalog.snapshot import Catalog, snapshot
from costadvisor.decisions import candidates
from costadvisor.decisions.capacity import ESTIMATED
from costadvisor.decisions.fits import fits
from costadvisor.decisions.resolve import Records
from costadvisor.decisions.sized import Suggestion, sizer_of
from costadvisor.decisions.written import WrittenOption, published_quality, rented_option
from costadvisor.economics import Case
from engine.calibrate.record import Record

Json = Mapping[str, Any]
FLEETS_VARIED = 2  # of which every plan is tried
SUGGESTED = 3
HOSTS_SHOWN, FLEETS_SHOWN, REFUSED_SHOWN = 6, 16, 8
BASE = "base"  # stands for the id that the base of a hybrid will have


def suggestions(case: Json, *, records: Iterable[Record], catalog: Catalog | None = None) -> list[Suggestion]:
    """For a written case, the allowed ones first, each cheapest first. Raises CaseError for a case that is refused."""
    own = list(records)
    stored: Records = {record.sha256: record for record in own}.get
    today = sizer_of(case, stored, catalog)
    singles = [found for found in (today(*way) for way in _singles(today.case, own)) if found]
    varied = [
        found for fleet in _worth_varying(singles) for way in _ways_to_pay(today.case, fleet) if (found := today(*way))
    ]
    ranked = sorted(_best_known((*singles, *varied)), key=lambda found: (len(found.refused), found.tco_usd, found.key))
    allowed = list(_shown(found for found in ranked if not found.refused))
    refused = {found.add[0].option["model"]: found for found in reversed(ranked) if found.refused}
    shown = [*allowed, *[found for found in ranked if found in refused.values()][:REFUSED_SHOWN]]
    chosen = _suggested(allowed)
    return [replace(found, suggested=found.key in chosen) for found in shown]


def _singles(case: Case, own: Iterable[Record]) -> Iterator[tuple[str, WrittenOption]]:
    for candidate in (*candidates.measured(own), *candidates.hosts(), *candidates.published()):
        yield candidate.key, candidate.written
    workload = case.workload
    context = round(float((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0)))
    catalog = snapshot()
    gpus = sorted({offer.gpu for offer in catalog.gpu_offers if offer.gpus})
    hosted = {host.model for host in catalog.hosted_models}  # what nobody sells is no substitute for what is bought
    for model in (model for model in catalog.open_models if model.model in hosted):
        for found in fits(model, gpus, context=context):
            gpu = next(gpu for gpu in gpus if found.gpu.name in (gpu, f"{gpu} SXM"))
            written = rented_option(
                model=model.model,
                gpu=gpu,
                gpus_per_replica=found.gpus,
                capacity={"record": ESTIMATED},
                privacy=candidates.RENTED_PRIVACY,
                quality=published_quality(catalog.quality_scores, model=model.model),
                source=candidates.RENTED_WHERE,
            )
            yield f"{ESTIMATED}:{model.model}:{found.gpus}x{gpu}", written


# Every other way to pay for a fleet rented by the hour; one without a price in the catalog falls out.
_STARTS = {"cold_start_s": 120}
_WAYS: dict[str, tuple[str, Json]] = {
    "scheduled": ("on_demand", _STARTS | {"policy": "scheduled"}),
    "reserved_1y": ("reserved_1y", {}),
    "reserved_3y": ("reserved_3y", {}),
    "spot": ("spot", _STARTS | {"policy": "scheduled"}),
    "serverless": ("serverless", _STARTS | {"policy": "scale_to_zero"}),
    "window": ("on_demand", _STARTS | {"policy": "window", "window_hours_per_day": 8, "spare_replicas": 0}),
}


def _ways_to_pay(case: Case, fleet: Suggestion) -> Iterator[tuple[str, WrittenOption, WrittenOption | None]]:
    """The fleet's option under every other plan, and as a base below today's API."""
    (written,) = fleet.add
    for way, (plan, scaling) in _WAYS.items():
        hardware = written.option["hardware"] | {"plan": plan}
        changed = {**written.option, "hardware": hardware, "scaling": dict(scaling)}
        yield f"{fleet.key}|{way}", replace(written, option=changed), None
    today = next(option for option in case.options if option.baseline)
    if today.kind == "api":
        mixed = WrittenOption({"kind": "hybrid", "base": BASE, "overflow": today.id})
        yield f"{fleet.key}|hybrid", written, mixed


def _worth_varying(singles: Iterable[Suggestion]) -> list[Suggestion]:
    """The cheapest fleets that somebody measured, and the cheapest by arithmetic; the allowed ones first."""
    fleets = sorted((one for one in singles if one.replicas), key=lambda one: (len(one.refused), one.tco_usd))
    measured = [fleet for fleet in fleets if not fleet.estimated]
    return [*measured[:FLEETS_VARIED], *[fleet for fleet in fleets if fleet.estimated][:1]]


def _best_known(found: Iterable[Suggestion]) -> Iterator[Suggestion]:
    """Of one thing under several measurements the best known, the cheaper of two as good."""
    best: dict[tuple[str, str], Suggestion] = {}
    for one in sorted(found, key=lambda one: (one.grade, one.tco_usd, one.key)):
        best.setdefault((one.name, one.kind), one)
    yield from best.values()


def _shown(allowed: Iterable[Suggestion]) -> Iterator[Suggestion]:
    """The cheapest hosts and the cheapest fleets: a page has room for both."""
    shown: Counter[bool] = Counter()
    for found in allowed:
        fleet = found.replicas is not None
        shown[fleet] += 1
        if shown[fleet] <= (FLEETS_SHOWN if fleet else HOSTS_SHOWN):
            yield found


def _suggested(allowed: list[Suggestion]) -> set[str]:
    """What saves most of what somebody measured or lists, no two of a kind; and the cheapest fleet, whether it saves or
    not: the question is whether to serve the model oneself."""
    chosen: dict[str, str] = {}
    for found in allowed:
        if found.saves_usd > 0 and not found.estimated and len(chosen) < SUGGESTED:
            chosen.setdefault(found.kind, found.key)
    fleets = sorted((found for found in allowed if found.replicas), key=lambda found: (found.estimated, found.tco_usd))
    return {*chosen.values(), *[fleet.key for fleet in fleets[:1]]}
