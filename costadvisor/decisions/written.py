"""Parts of a case as people write it: a workload's figures, and options with what is known about each. Pure.

What the catalog knows is left out here; `resolve` fills it in each time the case is answered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.text import slugify

from costadvisor.catalog.facts import QualityScore
from costadvisor.economics.case import CASE_SCHEMA
from costadvisor.workloads.profile import DEFAULT, Profile

Json = dict[str, Any]
TODAY = "today"
BILL = "bill: "  # how a profile's sources begin that come from the bill

# Figures of a profile, by the pointer at which a case has them.
_FIGURES = {
    "requests_per_month": "/workload/requests_per_month",
    "input_tokens": "/workload/input_tokens",
    "output_tokens": "/workload/output_tokens",
    "cached_input_share": "/workload/cached_input_share",
    "batchable_share": "/workload/batchable_share",
    "hourly_shape": "/workload/hourly_shape",
    "burstiness": "/workload/burstiness",
    "growth_per_month": "/workload/growth_per_month",
}


@dataclass(frozen=True)
class WrittenOption:
    """`option` as a case has it, without an id; `evidence` and `uncertainty` (low, mode, high) by path inside it."""

    option: Json
    evidence: Json = field(default_factory=dict)
    uncertainty: Json = field(default_factory=dict)


def case_written(*, name: str, as_of: date, parts: Json, profile: Profile, options: Iterable[WrittenOption]) -> Json:
    """A case of a workload's `parts` (see `workload_to_case`). The first option is today's, the baseline."""
    today, *others = options
    case: Json = {
        "schema": CASE_SCHEMA,
        "name": name,
        "as_of": as_of.isoformat(),
        **deepcopy(parts),
        "options": [],
        "evidence": workload_evidence(profile),
    }
    _append(case, TODAY, WrittenOption(today.option | {"baseline": True}, today.evidence))
    for other in others:
        case = with_option(case, other)
    return case


def with_option(case: Json, written: WrittenOption) -> Json:
    """A copy with one option more, under a short id that says where it runs."""
    changed = deepcopy(case)
    stem = slugify(_place(written.option).replace(".", "-"))[:56]
    _append(changed, free_id(stem or "option", {known["id"] for known in case["options"]}), written)
    return changed


def _place(option: Json) -> str:
    """Where an option runs, in a word: `openai`, `h100`, `h100-spot`, `azure-units`, `hybrid`."""
    if option["kind"] == "self_host":
        plan = option["hardware"].get("plan", "on_demand")
        gpu: str = option["hardware"]["gpu"]
        return gpu if plan == "on_demand" else f"{gpu} {plan.replace('_', ' ')}"
    if option["kind"] == "provisioned":
        return f"{option['provider']} units"
    return str(option.get("provider", option["kind"]))


def with_option_changed(case: Json, option_id: str, written: WrittenOption) -> Json:
    """A copy with `written` in the place of the option of that id, which it keeps, as it keeps being the baseline. The
    range of a number that is another one now goes."""
    changed, start = deepcopy(case), f"/options/{option_id}/"
    for place, known in enumerate(case["options"]):
        if known["id"] == option_id:
            kept = {key: known[key] for key in ("id", "baseline") if key in known}
            changed["options"][place] = kept | deepcopy(written.option)
            for pointer in [at for at in changed.get("uncertainty", {}) if at.startswith(start)]:
                path = pointer.removeprefix(start)
                if _at(known, path) != _at(written.option, path):
                    del changed["uncertainty"][pointer]
    said = {pointer: known for pointer, known in case.get("evidence", {}).items() if not pointer.startswith(start)}
    changed["evidence"] = said | {f"{start}{path}": known for path, known in written.evidence.items()}
    return changed


def _at(part: Any, path: str) -> Any:
    """What stands there; None for nothing."""
    for step in path.split("/"):
        part = part.get(step) if isinstance(part, dict) else None
    return part


def without_option(case: Json, option_id: str) -> Json:
    """A copy without the option and what was said of it."""
    changed, path = deepcopy(case), f"/options/{option_id}/"
    changed["options"] = [option for option in case["options"] if option["id"] != option_id]
    for part in ("evidence", "uncertainty"):
        if part in case:
            changed[part] = {pointer: said for pointer, said in case[part].items() if not pointer.startswith(path)}
    return changed


def free_id(stem: str, taken: Collection[str]) -> str:
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(id_ for id_ in numbered if id_ not in taken)


def workload_evidence(profile: Profile) -> Json:
    """What the profile says of each figure, in a case's words. A default is left for the evaluation to mark."""
    return {
        pointer: figure_evidence(getattr(profile, name).basis, getattr(profile, name).source)
        for name, pointer in _FIGURES.items()
    }


def figure_evidence(basis: str, source: str) -> Json:
    if basis != "measured":
        return entered("our default" if source == DEFAULT else source)
    if source.startswith(BILL):
        return {"grade": "B", "basis": "billed", "source": source.removeprefix(BILL)}
    return {"grade": "A", "basis": "measured", "source": source}


def entered(source: str) -> Json:
    """On somebody's word."""
    return {"grade": "E", "basis": "assumed", "source": source}


def api_option(
    *,
    provider: str,
    model: str,
    source: str,
    open_weights: bool = False,
    privacy: Iterable[str] = (),
    quality: Iterable[Json] = (),
    prices: Mapping[str, Decimal | None] | None = None,
    reconciliation: tuple[Decimal, Json, Sequence[Decimal] | None] | None = None,
) -> WrittenOption:
    """`prices` in USD per million tokens, where the catalog is not to be asked; `reconciliation` is k, its evidence and
    its range; `source` stands beside what was typed."""
    option: Json = {"kind": "api", "provider": provider, "model": model, "privacy": list(privacy)}
    evidence: Json = {}
    uncertainty: Json = {}
    if open_weights:
        option["open_weights"] = True
    if prices:
        option["prices"] = {name: str(price) for name, price in prices.items() if price is not None}
        evidence["prices"] = entered(source)
    if reconciliation:
        k, evidence["reconciliation_factor"], bounds = reconciliation
        option["reconciliation_factor"] = float(k)
        if bounds:
            uncertainty["reconciliation_factor"] = [float(bound) for bound in bounds]
    return WrittenOption(option | _quality(quality), evidence, uncertainty)


def rented_option(
    *,
    model: str,
    gpu: str,
    gpus_per_replica: int,
    capacity: Mapping[str, Any],
    source: str,
    privacy: Iterable[str] = (),
    quality: Iterable[Json] = (),
) -> WrittenOption:
    """`capacity` names a record, or is a typed rate, which is assumed whatever its digits; so is privacy."""
    option: Json = {
        "kind": "self_host",
        "model": model,
        "privacy": list(privacy),
        "hardware": {"gpu": gpu, "gpus_per_replica": gpus_per_replica, "plan": "on_demand"},
        "capacity": dict(capacity),
    }
    evidence = {} if "record" in capacity else {"capacity": entered(source)}
    if option["privacy"]:
        evidence["privacy"] = entered(source)
    return WrittenOption(option | _quality(quality), evidence)


def published_quality(scores: Iterable[QualityScore], *, model: str, dtype: str = "") -> list[Json]:
    """One published score of the model for each measure, of this precision where there are several."""
    wanted = model.rsplit("/", 1)[-1].lower()
    chosen: dict[str, QualityScore] = {}
    for score in scores:
        if score.model.rsplit("/", 1)[-1].lower() != wanted:
            continue
        known = chosen.get(score.measure)
        if known is None or (dtype and dtype in score.setting and dtype not in known.setting):
            chosen[score.measure] = score
    return [{"measure": score.measure, "score": score.score, "n": score.n} for score in chosen.values()]


def _quality(scores: Iterable[Json]) -> Json:
    listed = list(scores)
    return {"quality": listed} if listed else {}


def _append(case: Json, option_id: str, written: WrittenOption) -> None:
    """Into a case of our own."""
    case["options"].append({"id": option_id} | deepcopy(written.option))
    case["evidence"] |= {f"/options/{option_id}/{path}": said for path, said in written.evidence.items()}
    if written.uncertainty:
        ranges = {f"/options/{option_id}/{path}": bounds for path, bounds in written.uncertainty.items()}
        case["uncertainty"] = case.get("uncertainty", {}) | ranges
