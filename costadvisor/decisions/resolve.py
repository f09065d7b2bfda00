"""From a case as written to a resolved case, which says everything an answer rests on.

Prices come from the catalog on the case's day, lengths and burstiness from a trace, capacities from a calibration
record or a published series; each leaves its source in the case's `evidence`. What is written stays as it is.
"""

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from costadvisor.catalog.ages import max_ages_days
from costadvisor.catalog.snapshot import Catalog, snapshot
from costadvisor.decisions.capacity import (
    ESTIMATED,
    PUBLISHED,
    STORED,
    capacity_estimated,
    capacity_measured,
    capacity_published,
    record_from_file,
)
from costadvisor.decisions.lengths import file_allowed, resolve_lengths
from costadvisor.decisions.prices import resolve_api_prices, resolve_rent
from costadvisor.decisions.published_costs import cite_costs
from costadvisor.decisions.simulated import Demand, Shares
from costadvisor.economics import Case, CaseError, parse_case
from costadvisor.economics.case import PriceAges
from engine.calibrate.record import Record

Json = dict[str, Any]
Records = Callable[[str], Record | None]


def no_records(sha256: str) -> Record | None:
    """Where nothing is stored, as on the command line."""
    return None


def case_resolve(
    written: Case, *, folder: Path | None, records: Records = no_records, catalog: Catalog | None = None
) -> Case:
    """The case with nothing left to look up.

    `folder` is where relative paths start; None, as for every case that comes over HTTP, means that no file is read.
    `records` finds a stored calibration record, which a case names `sha256:…`, by its hash.
    Raises CaseError with the path of the field, what is wrong and what would be right.
    """
    # only what was written: a default must not look like somebody's word against a trace's
    case: Json = written.model_dump(mode="json", by_alias=True, exclude_unset=True)
    evidence: Json = case.setdefault("evidence", {})
    known = catalog or snapshot()
    as_of = date.fromisoformat(case["as_of"])
    _resolve_ages(case)
    resolve_lengths(case["workload"], evidence, folder)
    for option in case["options"]:
        path = f"/options/{option['id']}"
        if option["kind"] == "api":
            resolve_api_prices(option, path, as_of, case, known)
        if option["kind"] == "self_host":
            resolve_rent(option, path, as_of, evidence, known)
            _resolve_capacity(case, option, path, folder, records, known)
            cite_costs(option, path, evidence, known)
        _cite_quality(option, path, evidence, known)
    return parse_case(case)


def _resolve_ages(case: Json) -> None:
    """The installation's, where they are others than a case has by itself: the answer says what it was held against."""
    ages = PriceAges(**max_ages_days())
    if "price_max_age_days" not in case and ages != PriceAges():
        case["price_max_age_days"] = ages.model_dump()


def _resolve_capacity(
    case: Json, option: Json, path: str, folder: Path | None, records: Records, catalog: Catalog
) -> None:
    """Read what `record` names; a capacity already in figures stands."""
    capacity = option.get("capacity") or {}
    record = capacity.get("record")
    if record is None or capacity.keys() & {"requests_per_s", "tokens_per_s"}:
        return
    field, demand = f"{path}/capacity/record", _demand(case, option)
    if record == ESTIMATED:
        found = capacity_estimated(path=field, option=option, demand=demand, catalog=catalog)
    elif record.startswith(PUBLISHED):
        name = record.removeprefix(PUBLISHED)
        found = capacity_published(name, path=field, option=option, demand=demand, catalog=catalog)
    else:
        found = capacity_measured(_record(record, field, folder, records), path=field, option=option, demand=demand)
    option["capacity"] = found.capacity
    case["evidence"].setdefault(f"{path}/capacity", found.evidence)


def _record(name: str, path: str, folder: Path | None, records: Records) -> Record:
    """A stored record by its hash, or one in a file."""
    if not name.startswith(STORED):
        return record_from_file(file_allowed(name, folder, path), path=path)
    found = records(name.removeprefix(STORED))
    if found is None:
        raise CaseError(path, f"{name[:24]!r} is no stored calibration record", "choose one of your records")
    return found


def _demand(case: Json, option: Json) -> Demand:
    workload, slo = case["workload"], case.get("slo", {})
    ratio = {"input": 1, "output": 1} | option.get("token_ratio", {})
    return Demand(
        input_tokens=workload["input_tokens"]["mean"] * ratio["input"],
        output_tokens=workload["output_tokens"]["mean"] * ratio["output"],
        burstiness=workload.get("burstiness", 1),
        ttft_p95_ms=slo.get("ttft_p95_ms") or math.inf,
        tpot_p95_ms=slo.get("tpot_p95_ms") or math.inf,
        input_shares=_shares(workload["input_tokens"], ratio["input"]),
        output_shares=_shares(workload["output_tokens"], ratio["output"]),
    )


def _shares(lengths: Json, ratio: float) -> Shares:
    return tuple((part["tokens"] * ratio, part["share"]) for part in lengths.get("histogram", ()))


def _cite_quality(option: Json, path: str, evidence: Json, catalog: Catalog) -> None:
    """A score that is a published one is cited as published."""
    model = option.get("model", "").rsplit("/", 1)[-1].lower()
    stated = {(quality["measure"], quality["score"]) for quality in option.get("quality", ())}
    for score in catalog.quality_scores:
        if score.model.rsplit("/", 1)[-1].lower() == model and (score.measure, score.score) in stated:
            source = f"{score.measure}, {score.source}: {score.setting}"
            cited = {"grade": "D", "basis": "imported", "source": source, "as_of": score.as_of.isoformat()}
            evidence.setdefault(f"{path}/quality", cited)
