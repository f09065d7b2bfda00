"""An option that may be worth comparing: priced, sized and held against the constraints by what answers a case."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from costadvisor.catalog.snapshot import Catalog
from costadvisor.decisions.capacity import ESTIMATED
from costadvisor.decisions.resolve import Records, case_resolve
from costadvisor.decisions.written import WrittenOption, with_option
from costadvisor.economics import Case, CaseError, parse_case
from costadvisor.economics.capacity import resolved_capacity
from costadvisor.economics.composition import fleets_of, is_owned
from costadvisor.economics.constraints import refusals
from costadvisor.economics.evaluate import case_totals
from costadvisor.economics.evidence import evidence_of
from costadvisor.economics.fleet import planned_week
from costadvisor.economics.hybrid import planned_replicas
from costadvisor.economics.information import CALIBRATION_HOURS, CALIBRATION_USD
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.names import kind_name, names_by_id
from costadvisor.economics.options import HybridOption, Option, SelfHostOption
from costadvisor.economics.sampling import draw

Json = Mapping[str, Any]
DRAWS = 200  # enough to rank by expected totals; the answer is computed anew with all of them
MEASURED = ("A", "B")


@dataclass(frozen=True)
class Suggestion:
    """`add` are the options that it needs, a hybrid's base before it. Amounts in USD: expected over draws; `saves`
    against today over the horizon. `calibration_usd` is None for what needs none."""

    key: str
    name: str
    kind: str
    add: tuple[WrittenOption, ...]
    usd_per_month: Decimal
    tco_usd: Decimal
    saves_usd: Decimal
    replicas: int | None
    grade: str
    evidence: str
    calibration_usd: Decimal | None
    refused: tuple[str, ...]
    suggested: bool = False

    @property
    def estimated(self) -> bool:
        """Whether nobody measured what one replica can do."""
        return self.key.startswith(ESTIMATED)


def with_suggestions(case: Json, chosen: Iterable[Suggestion]) -> dict[str, Any]:
    """A copy of the written case with these added; a base that is there already is used as it stands."""
    changed = deepcopy(dict(case))
    for found in chosen:
        base = ""
        for written in found.add:
            option = written.option
            if option["kind"] == "hybrid":
                changed = with_option(changed, replace(written, option={**option, "base": base}))
                continue
            base = _id_of(changed, option)
            if not base:
                changed = with_option(changed, written)
                base = changed["options"][-1]["id"]
    return changed


@dataclass(frozen=True)
class Sizer:
    """Prices options against today's, which is resolved once."""

    written: dict[str, Any]
    case: Case
    records: Records
    catalog: Catalog | None

    def __call__(self, key: str, written: WrittenOption, mixed: WrittenOption | None = None) -> Suggestion | None:
        """None for what has no price, no capacity, or no place in this case, and for what is there already."""
        add = (written,) if mixed is None else (written, mixed)
        alone = {**self.written, "options": [self._today]}
        try:
            case = parse_case(with_suggestions(alone, [_only(add)]))
            case = case_resolve(case, folder=None, records=self.records, catalog=self.catalog)
            totals = case_totals(case, draw(case, uncertain_inputs(case)))
        except CaseError:
            return None
        option, base = case.options[-1], case.options[0]
        if option.id not in totals or (mixed is None and _id_of(self.written, written.option)):
            return None
        replicas = _replicas(case, option)
        if replicas == 0 or not totals[option.id].feasible.all():
            return None
        tco, month = float(totals[option.id].tco_usd.mean()), float(totals[option.id].usd_per_month.mean())
        grade, evidence = _evidence(case, option)
        return Suggestion(
            key=key,
            name=names_by_id(case)[option.id],
            kind=_kind(option),
            add=add,
            usd_per_month=_usd(month),
            tco_usd=_usd(tco),
            saves_usd=_usd(float(totals[base.id].tco_usd.mean()) - tco),
            replicas=replicas,
            grade=grade,
            evidence=evidence,
            calibration_usd=_calibration_usd(case, option, grade),
            refused=tuple(refusal.message for refusal in refusals(case, option)),
        )

    @property
    def _today(self) -> Any:
        return next(option for option in self.written["options"] if option.get("baseline"))


def sizer_of(case: Json, records: Records, catalog: Catalog | None) -> Sizer:
    written = {**case, "draws": DRAWS, "uncertainty": {}}
    today = next(option["id"] for option in case["options"] if option.get("baseline"))
    kept = ("/workload", "/drift", f"/options/{today}/")
    written["evidence"] = {at: said for at, said in case.get("evidence", {}).items() if at.startswith(kept)}
    alone = parse_case({**written, "options": [option for option in case["options"] if option.get("baseline")]})
    resolved = case_resolve(alone, folder=None, records=records, catalog=catalog)
    return Sizer(written, resolved, records, catalog)


def _only(add: tuple[WrittenOption, ...]) -> Suggestion:
    nothing = Decimal(0)
    return Suggestion("", "", "", add, nothing, nothing, nothing, None, "", "", None, ())


def _id_of(case: Json, option: Json) -> str:
    """Of an option of the case that is the same for all a proposal says; empty where there is none."""
    return next((str(known["id"]) for known in case["options"] if _same(known) == _same(option)), "")


def _same(option: Json) -> tuple[Any, ...]:
    hardware, scaling = option.get("hardware", {}), option.get("scaling", {})
    return (
        option["kind"],
        option.get("provider"),
        option.get("model"),
        *(hardware.get(key) for key in ("gpu", "gpus_per_replica", "plan")),
        scaling.get("policy", "fixed"),
        option.get("capacity", {}).get("record"),
        option.get("base"),
    )


def _replicas(case: Case, option: Option) -> int | None:
    """Of the busiest hour in month 1; 0 where a hybrid does not pay, or no rate meets the latency target."""
    if isinstance(option, HybridOption):
        return planned_replicas(case, option)
    if not isinstance(option, SelfHostOption):
        return None
    week = planned_week(case, option)
    return week.most if week else 0


def _evidence(case: Case, option: Option) -> tuple[str, str]:
    """The grade and the source of what the option's cost rests on most: a fleet's capacity, or an API's price."""
    fleets = fleets_of(case, option)
    pointer = f"/options/{fleets[0].id}/capacity" if fleets else f"/options/{option.id}/prices"
    said = evidence_of(case, pointer)
    grade = resolved_capacity(fleets[0]).grade if fleets else (said.grade if said else "E")
    return grade, f"{said.basis}: {said.source}" if said else "nobody says so"


def _calibration_usd(case: Case, option: Option, grade: str) -> Decimal | None:
    fleets = fleets_of(case, option)
    if not fleets or grade in MEASURED:
        return None
    rent = Decimal(0) if is_owned(fleets[0]) else fleets[0].hardware.usd_per_hour or Decimal(0)
    return _usd(float(CALIBRATION_USD + CALIBRATION_HOURS * rent))


def _kind(option: Option) -> str:
    if isinstance(option, SelfHostOption):
        plan = _PLANS.get(option.scaling.policy) or _PLANS[option.hardware.plan]
        return f"{plan}, following the week" if option.scaling.policy == "scheduled" else plan
    return kind_name(option)


_PLANS = {
    "window": "daily batch window",
    "scale_to_zero": "serverless",
    "on_demand": "rented by the hour",
    "reserved_1y": "reserved for one year",
    "reserved_3y": "reserved for three years",
    "spot": "spot",
    "serverless": "serverless",
    "owned": "owned",
}


def _usd(amount: float) -> Decimal:
    return Decimal(f"{amount:.2f}")
