"""A version's state and signatures as its document prints them."""

import hashlib
import json
from dataclasses import asdict, dataclass

from costadvisor.decisions.models import Recommendation, SignOff, State
from costadvisor.decisions.stages import signatures


@dataclass(frozen=True)
class Signature:
    """A line of the box to sign; empty where nobody has signed yet."""

    step: str
    name: str = ""
    day: str = ""
    how: str = ""


UNSIGNED = (Signature("Prepared by"), Signature("Reviewed by"), Signature("Approved by"))


@dataclass(frozen=True)
class Issue:
    """Which version it is and how far it got; `notice` says that it no longer stands."""

    version: int
    state: str
    notice: str = ""
    signatures: tuple[Signature, ...] = UNSIGNED


def issue_of(recommendation: Recommendation) -> Issue:
    return Issue(
        version=recommendation.version,
        state=recommendation.get_state_display().lower(),
        notice=_notice(recommendation),
        signatures=tuple(_signature(step, signed) for step, signed in signatures(recommendation)),
    )


def printed_from_sha256(recommendation: Recommendation, issue: Issue) -> str:
    """The identity of everything that the document shows."""
    shown = {
        "case": recommendation.case_sha256,
        "evaluation": hashlib.sha256(recommendation.evaluation_json.encode()).hexdigest(),
        "issue": asdict(issue),
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _signature(step: str, signed: SignOff | None) -> Signature:
    if signed is None:
        return Signature(step)
    return Signature(step, signed.signer_name, f"{signed.signed_at:%Y-%m-%d}", f"signed in, {signed.signer_email}")


def _notice(recommendation: Recommendation) -> str:
    closed = recommendation.closed_at
    if recommendation.state == State.WITHDRAWN and closed:
        return f"Withdrawn on {closed:%Y-%m-%d} by {recommendation.closed_by_name}: {recommendation.closed_because}"
    if recommendation.state == State.SUPERSEDED and closed:
        newer = recommendation.superseded_by
        return f"Superseded on {closed:%Y-%m-%d}" + (f" by version {newer.version}." if newer else ".")
    return ""
