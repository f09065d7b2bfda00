"""Writes versions of decisions: issued, signed by three different people, withdrawn, superseded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from costadvisor.accounts.models import Membership, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.models import CLOSED, UNFINISHED, Decision, Recommendation, SignOff, State
from costadvisor.decisions.selectors import decision_evaluate
from costadvisor.decisions.stages import next_stage, sign_obstacle, withdraw_obstacle
from costadvisor.economics import CaseError, case_bytes


def recommendation_issue(*, decision: Decision, actor: User, now: datetime) -> Recommendation:
    """Freezes the decision's case and answer as the next version, a draft; an unfinished earlier one is superseded.
    Raises Refusal for a case without an answer or with today's API alone, and where the last version says the same."""
    try:
        found = decision_evaluate(decision=decision)
    except CaseError as error:
        raise Refusal(str(error), field=error.path) from error
    if len(found.case.options) == 1:
        raise Refusal("Today's API stands alone here. Add an option to compare it with, then issue a version.")
    with transaction.atomic():
        Decision.objects.select_for_update().get(pk=decision.pk)
        versions = Recommendation.objects.filter(decision=decision)
        standing = versions.exclude(state__in=CLOSED)
        same = standing.filter(case_sha256=found.evaluation.case_sha256).first()
        if same is not None:
            raise Refusal(f"Version {same.version} says exactly this already.")
        unfinished = list(versions.filter(state__in=UNFINISHED))
        _close(unfinished, State.SUPERSEDED, actor, now)
        issued = Recommendation.objects.create(
            organization_id=decision.organization_id,
            decision=decision,
            version=(versions.aggregate(last=Max("version"))["last"] or 0) + 1,
            case_json=case_bytes(found.case).decode(),
            case_sha256=found.evaluation.case_sha256,
            evaluation_json=found.evaluation.to_json().decode(),
            created_by=actor,
        )
        _record(issued, actor, "recommendation_issue", {"case_sha256": issued.case_sha256})
        _supersede(unfinished, issued, actor)
    return issued


@transaction.atomic
def recommendation_sign(*, recommendation: Recommendation, membership: Membership, now: datetime) -> Recommendation:
    """The next signature: prepared, reviewed, approved, each by somebody else. An approval supersedes the version that
    was approved before. Raises Refusal for a version that waits for none, too low a role, and a second signature."""
    locked, signer = _locked(recommendation), membership.user
    obstacle, stage = sign_obstacle(locked, membership), next_stage(locked)
    if obstacle or stage is None:
        raise Refusal(obstacle)
    SignOff.objects.create(
        recommendation=locked,
        step=stage.step,
        signer=signer,
        signer_name=str(signer),
        signer_email=signer.email,
        signed_at=now,
    )
    if stage.after == State.APPROVED:
        approved = list(Recommendation.objects.filter(decision_id=locked.decision_id, state=State.APPROVED))
        _close(approved, State.SUPERSEDED, signer, now)
        _supersede(approved, locked, signer)
    locked.state = stage.after
    locked.save(update_fields=["state"])
    _record(locked, signer, f"recommendation_{stage.step}", {"state": locked.state})
    return locked


@transaction.atomic
def recommendation_withdraw(
    *, recommendation: Recommendation, membership: Membership, because: str, now: datetime
) -> Recommendation:
    """Takes a version back, with the reason. An approved one needs an approver. Raises Refusal for a closed one."""
    locked = _locked(recommendation)
    obstacle = withdraw_obstacle(locked, membership)
    if obstacle:
        raise Refusal(obstacle)
    if not because.strip():
        raise Refusal("Say why it is withdrawn.", field="because")
    locked.closed_because = because.strip()
    _close([locked], State.WITHDRAWN, membership.user, now)
    _record(locked, membership.user, "recommendation_withdraw", {"because": locked.closed_because})
    return locked


def _locked(recommendation: Recommendation) -> Recommendation:
    """The row as it is now, for two people may press at once."""
    return Recommendation.objects.select_for_update().get(pk=recommendation.pk)


def _close(versions: list[Recommendation], state: State, actor: User, now: datetime) -> None:
    for version in versions:
        version.state, version.closed_at, version.closed_by_name = state, now, str(actor)
        version.save()


def _supersede(versions: list[Recommendation], by: Recommendation, actor: User) -> None:
    for version in versions:
        version.superseded_by = by
        version.save(update_fields=["superseded_by"])
        _record(version, actor, "recommendation_supersede", {"by_version": by.version})


def _record(recommendation: Recommendation, actor: User, action: str, details: Mapping[str, Any]) -> None:
    event_record(
        action=action,
        object_kind="recommendation",
        object_id=recommendation.pk,
        organization_id=recommendation.organization_id,
        actor_id=actor.pk,
        actor_email=actor.email,
        details={"version": recommendation.version, **details},
    )
