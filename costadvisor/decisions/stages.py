"""Who may do what with a version: three signatures by three people, and taking it back."""

from dataclasses import dataclass

from costadvisor.accounts.models import Membership, Role
from costadvisor.decisions.models import CLOSED, Recommendation, SignOff, State, Step


@dataclass(frozen=True)
class Stage:
    """A signature: the state it needs and leads to, the least role of who gives it, and what it says."""

    step: Step
    before: State
    after: State
    role: Role
    action: str
    meaning: str


STAGES = (
    Stage(
        Step.PREPARE,
        State.DRAFT,
        State.PREPARED,
        Role.EDITOR,
        "Sign as prepared",
        "You put your name to the inputs: they are complete, and come from where the assumptions say.",
    ),
    Stage(
        Step.REVIEW,
        State.PREPARED,
        State.REVIEWED,
        Role.EDITOR,
        "Sign as reviewed",
        "You have gone through figures, sources, limits and checks, and stand by them.",
    ),
    Stage(
        Step.APPROVE,
        State.REVIEWED,
        State.APPROVED,
        Role.APPROVER,
        "Approve",
        "You decide: this is what the organization does.",
    ),
)


def next_stage(recommendation: Recommendation) -> Stage | None:
    return next((stage for stage in STAGES if stage.before == recommendation.state), None)


def signatures(recommendation: Recommendation) -> list[tuple[str, SignOff | None]]:
    """Every step in order, with its signature once it is given."""
    given = {sign_off.step: sign_off for sign_off in recommendation.sign_offs.all()}
    return [(stage.step.label, given.get(stage.step)) for stage in STAGES]


def sign_obstacle(recommendation: Recommendation, membership: Membership) -> str:
    """Why this person may not give the next signature; empty if they may."""
    stage = next_stage(recommendation)
    if stage is None:
        return f"This version is {recommendation.get_state_display().lower()}; nothing is left to sign."
    if not membership.allows(stage.role):
        return f"The next signature needs the role {stage.role.label.lower()} or higher; yours is {membership.role}."
    if any(sign_off.signer_id == membership.user_id for sign_off in recommendation.sign_offs.all()):
        return "You have signed this version already: the next signature is somebody else's."
    return ""


def withdraw_obstacle(recommendation: Recommendation, membership: Membership) -> str:
    """Why this person may not take the version back; empty if they may."""
    if recommendation.state in CLOSED:
        return f"This version is {recommendation.get_state_display().lower()} already."
    if not membership.allows(Role.APPROVER if recommendation.state == State.APPROVED else Role.EDITOR):
        return "An approved version can only be withdrawn by an approver."
    return ""
