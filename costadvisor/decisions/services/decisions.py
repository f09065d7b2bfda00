"""Writes decisions. Every write stores a case that resolves: one that is refused changes nothing."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.models import Decision
from costadvisor.decisions.resolve import case_resolve
from costadvisor.decisions.selectors import catalog_of, records_of
from costadvisor.decisions.sized import Suggestion, with_suggestions
from costadvisor.decisions.written import WrittenOption, case_written, with_option, with_option_changed, without_option
from costadvisor.economics import CaseError, parse_case
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_to_case

Json = Mapping[str, Any]


@transaction.atomic
def decision_create(
    *,
    organization: Organization,
    actor: User,
    name: str,
    workload: Workload,
    as_of: date,
    today: WrittenOption,
    options: Iterable[WrittenOption],
) -> Decision:
    """About `workload` at prices of `as_of`, with today's API as the baseline.

    Raises Refusal for a name that is empty or taken, another organization's workload, and a case that does not resolve.
    """
    if workload.organization_id != organization.pk:
        raise Refusal("There is no such workload.", field="workload")
    decision = Decision(organization=organization, name=_free_name(organization, name), workload=workload)
    decision.created_by = actor
    case = case_written(
        name=decision.name,
        as_of=as_of,
        parts=workload_to_case(workload=workload),
        profile=workload.profile,
        options=[today, *options],
    )
    return _save(decision, case, actor, "decision_create", {"workload": workload.name})


@transaction.atomic
def decision_option_add(*, decision: Decision, actor: User, written: WrittenOption) -> Decision:
    """Raises Refusal for an option that cannot be resolved, such as one of a model that no price is known of."""
    locked = _locked(decision)
    changed = with_option(locked.case, written)
    return _save(locked, changed, actor, "decision_option_add", {"option": changed["options"][-1]["id"]})


@transaction.atomic
def decision_suggestions_add(*, decision: Decision, actor: User, chosen: Iterable[Suggestion]) -> Decision:
    """Raises Refusal where they cannot be resolved together, or are more than a case has room for."""
    locked = _locked(decision)
    known = {option["id"] for option in locked.case["options"]}
    changed = with_suggestions(locked.case, chosen)
    added = sorted({option["id"] for option in changed["options"]} - known)
    return _save(locked, changed, actor, "decision_suggestions_add", {"options": added})


@transaction.atomic
def decision_option_change(*, decision: Decision, actor: User, option_id: str, written: WrittenOption) -> Decision:
    """Puts `written` in the place of the option of that id. Raises Refusal for one that is not there, or that cannot
    be resolved."""
    locked = _locked(decision)
    if not any(option["id"] == option_id for option in locked.case["options"]):
        raise Refusal("This option is not there any more.")
    changed = with_option_changed(locked.case, option_id, written)
    return _save(locked, changed, actor, "decision_option_change", {"option": option_id})


@transaction.atomic
def decision_option_remove(*, decision: Decision, actor: User, option_id: str) -> Decision:
    """Raises Refusal for the baseline, for an option that another rests on, and for one that is not there."""
    locked = _locked(decision)
    found = next((option for option in locked.case["options"] if option["id"] == option_id), None)
    if found is None:
        raise Refusal("This option is not there any more.")
    if found.get("baseline"):
        raise Refusal("Today's API stays: everything is compared with it.")
    changed = without_option(locked.case, option_id)
    return _save(locked, changed, actor, "decision_option_remove", {"option": option_id})


@transaction.atomic
def decision_save_case(
    *, decision: Decision, actor: User, change: Callable[[Json], Json], changed: Iterable[str]
) -> Decision:
    """Keeps what-if values: `change` makes the new case of the saved one; `changed` names them for the trail. Raises
    Refusal for a case that does not resolve."""
    locked = _locked(decision)
    return _save(locked, change(locked.case), actor, "decision_save_case", {"changed": sorted(changed)})


def _locked(decision: Decision) -> Decision:
    """The row as it is now: what somebody else saved since it was read stays."""
    return Decision.objects.select_for_update().get(pk=decision.pk)


def _free_name(organization: Organization, name: str) -> str:
    stripped = name.strip()
    if not stripped:
        raise Refusal("A decision needs a name.", field="name")
    if Decision.objects.filter(organization=organization, name=stripped).exists():
        raise Refusal(f"There is a decision called “{stripped}” already; choose another name.", field="name")
    return stripped


def _save(decision: Decision, case: Json, actor: User, action: str, details: Json) -> Decision:
    try:
        organization = decision.organization
        known = catalog_of(organization=organization, case=case)
        case_resolve(parse_case(dict(case)), folder=None, records=records_of(organization=organization), catalog=known)
    except CaseError as error:
        raise Refusal(f"This {error.problem}; {error.remedy}.", field=error.path) from error
    decision.case = dict(case)
    decision.save()
    event_record(
        action=action,
        object_kind="decision",
        object_id=decision.pk,
        organization_id=decision.organization_id,
        actor_id=actor.pk,
        actor_email=actor.email,
        details={"name": decision.name, **details},
    )
    return decision
