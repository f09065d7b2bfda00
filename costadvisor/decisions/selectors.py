"""Reads decisions and their versions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, QuerySet

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.selectors import record_list
from costadvisor.catalog.selectors import catalog_known
from costadvisor.catalog.snapshot import Catalog, snapshot
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.answers import Answer, answer
from costadvisor.decisions.models import CLOSED, Decision, Recommendation
from costadvisor.decisions.proposals import Proposal, proposals
from costadvisor.decisions.ranked import suggestions
from costadvisor.decisions.resolve import Records, case_resolve
from costadvisor.decisions.sized import Suggestion
from costadvisor.decisions.todays_api import Reconciliation, billed_models, reconcile
from costadvisor.decisions.written import WrittenOption, api_option, case_written, published_quality
from costadvisor.economics import Case, CaseError, Evaluation, evaluate, parse_case
from costadvisor.economics import case_sha256 as hash_of
from costadvisor.spend.selectors import usage_months_in_usd
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_to_case
from engine.calibrate.record import Record


def decision_list(*, organization: Organization) -> QuerySet[Decision]:
    """By name, each with its versions, newest first."""
    versions = Prefetch("recommendations", Recommendation.objects.order_by("-version"))
    return Decision.objects.filter(organization=organization).select_related("organization").prefetch_related(versions)


def decision_find(*, organization: Organization, decision_id: int) -> Decision | None:
    return decision_list(organization=organization).filter(pk=decision_id).first()


def decision_evaluate(*, decision: Decision, case: Mapping[str, Any] | None = None) -> Answer:
    """The answer to the decision's case, or to `case`, a variation of it. Raises CaseError for one that is refused."""
    written, organization = decision.case if case is None else case, decision.organization
    known = catalog_of(organization=organization, case=written)
    return answer(written, records=records_of(organization=organization), catalog=known)


def case_evaluate(*, organization: Organization, text: str, most_work: int) -> Evaluation:
    """The answer to a case in JSON that reads no file; calibration records are the organization's own.

    Raises CaseError for one that is refused, or whose draws, months and options are more than `most_work` together.
    """
    case = parse_case(text)
    drawn = case.horizon_months * len(case.options)
    if case.draws * drawn > most_work:
        problem = f"is {case.draws:,} for {case.horizon_months} months and {len(case.options)} options"
        raise CaseError(
            "/draws", problem, f"must be at most {most_work // drawn:,} here; `manage.py advise` takes more"
        )
    known = catalog_known(organization=organization, on=case.as_of)
    return evaluate(case_resolve(case, folder=None, records=records_of(organization=organization), catalog=known))


def suggestion_list(*, decision: Decision) -> list[Suggestion]:
    """Options worth adding to the decision, ranked; none for one whose case is refused now."""
    own = [stored.content for stored in record_list(organization=decision.organization)]
    try:
        return suggestions(decision.case, records=own, catalog=_catalog(decision))
    except CaseError:
        return []


def decision_case(*, decision: Decision) -> Case:
    """The saved case, resolved as far as that goes: a price that is not known any more is None."""
    written = parse_case(decision.case)
    try:
        records = records_of(organization=decision.organization)
        return case_resolve(written, folder=None, records=records, catalog=_catalog(decision))
    except CaseError:
        return written


@dataclass(frozen=True)
class Draft:
    """What is known before a decision is saved: today's API with its k, and options worth a look."""

    as_of: date
    today: WrittenOption
    reconciliation: Reconciliation | None
    gate: Mapping[str, Any] | None
    proposals: list[Proposal]


def decision_draft(
    *, workload: Workload, api: tuple[str, str], prices: Mapping[str, Decimal] | None, as_of: date, source: str
) -> Draft:
    """For a workload that runs on `api` (provider, model) today, at `prices` or at list. Raises Refusal, with the path,
    where no price is known."""
    organization, (provider, model) = workload.organization, api
    usage = usage_months_in_usd(organization=organization)
    reconciled = None if prices else reconcile(usage, provider=provider, model=model)
    today = api_option(
        provider=provider,
        model=model,
        prices=prices,
        reconciliation=(reconciled.k, reconciled.evidence, reconciled.bounds) if reconciled else None,
        quality=published_quality(snapshot().quality_scores, model=model),
        source=source,
    )
    known, parts = catalog_known(organization=organization, on=as_of), workload_to_case(workload=workload)
    case = case_written(name="", as_of=as_of, parts=parts, profile=workload.profile, options=[today])
    try:
        case_resolve(parse_case(case), folder=None, catalog=known)
    except CaseError as error:
        raise Refusal(f"{error.problem}; {error.remedy}.", field=error.path) from error
    own = [stored.content for stored in record_list(organization=organization)]
    found = proposals(case, records=own, catalog=known)
    return Draft(as_of, today, reconciled, parts["constraints"]["min_quality"], found)


def billed_model_list(*, organization: Organization) -> list[tuple[str, str]]:
    """Providers' models in the bill, the dearest first."""
    return billed_models(usage_months_in_usd(organization=organization))


def catalog_of(*, organization: Organization, case: Mapping[str, Any]) -> Catalog:
    """What the organization knows of prices on the day of a written case."""
    return catalog_known(organization=organization, on=parse_case(dict(case)).as_of)


def _catalog(decision: Decision) -> Catalog:
    return catalog_of(organization=decision.organization, case=decision.case)


def records_of(*, organization: Organization) -> Records:
    """Finds the organization's calibration records by hash."""

    def find(sha256: str) -> Record | None:
        stored = record_list(organization=organization).filter(sha256=sha256).first()
        return None if stored is None else stored.content

    return find


def recommendation_list(*, organization: Organization) -> QuerySet[Recommendation]:
    versions = Recommendation.objects.filter(organization=organization)
    return versions.select_related("decision", "organization").prefetch_related("sign_offs")


def recommendation_find(*, organization: Organization, decision_id: int, version: int) -> Recommendation | None:
    return recommendation_list(organization=organization).filter(decision_id=decision_id, version=version).first()


def recommendation_standing(*, organization: Organization) -> QuerySet[Recommendation]:
    """Versions that hold or wait for a signature, newest first."""
    standing = recommendation_list(organization=organization).exclude(state__in=CLOSED)
    return standing.order_by("-created_at")


def recommendation_answer(*, recommendation: Recommendation) -> Answer:
    """As it was frozen."""
    return Answer(recommendation.case, recommendation.evaluation)


def recommendation_list_by_case(*, user: User, case_sha256: str) -> list[Recommendation]:
    """Versions of that case which the user may see, newest first."""
    mine = Recommendation.objects.filter(organization__memberships__user=user, case_sha256=case_sha256)
    return list(mine.select_related("decision", "organization").order_by("-created_at"))


@dataclass(frozen=True)
class Verification:
    """`same` says that the stored case, computed now, gives the stored bytes; else `differing` names the parts."""

    recommendation: Recommendation
    same: bool
    differing: tuple[str, ...]
    sentence_now: str


def recommendation_verify(*, recommendation: Recommendation) -> Verification:
    """Computes the stored case anew, past every cache."""
    case = recommendation.case
    computed = evaluate(case)
    stored, now = json.loads(recommendation.evaluation_json), json.loads(computed.to_json())
    differing = [part for part in now if stored.get(part) != now[part]]
    if hash_of(case) != recommendation.case_sha256:
        differing.append("case")
    same = not differing and computed.to_json().decode() == recommendation.evaluation_json
    return Verification(recommendation, same, tuple(differing), computed.verdict.sentence)
