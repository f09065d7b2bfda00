"""The example's organization, bill, workload and decision. What is there already stays as it is."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.accounts.selectors import membership_list, user_find
from costadvisor.accounts.services import organization_create, user_create
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_draft, decision_list
from costadvisor.decisions.services.decisions import decision_create
from costadvisor.decisions.written import WrittenOption
from costadvisor.spend.previews import upload_preview
from costadvisor.spend.services import import_commit, upload_create, upload_discard
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import PeakToMean, QualityGate, assumed
from costadvisor.workloads.selectors import workload_list
from costadvisor.workloads.services import workload_apply_trace, workload_derive_from_spend, workload_update

FIXTURES = Path(settings.BASE_DIR) / "fixtures"
CASE, BILL = FIXTURES / "demo" / "case.json", FIXTURES / "demo" / "bill.csv"
TRACE = FIXTURES / "traces" / "azure2023_conversation.csv"
EMAIL, ORGANIZATION, WORKLOAD = "demo@example.com", "Demo", "Support assistant"
ON_OUR_WORD = "set for the example"

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Example:
    """As it stands in the database."""

    user: User
    organization: Organization
    workload: Workload
    decision: Decision


@transaction.atomic
def example_load(tell: Tell) -> Example:
    """The example, made where it is missing; `tell` hears a line about each part. Raises Refusal, with nothing stored,
    where a part cannot be made."""
    case: dict[str, Any] = json.loads(CASE.read_text(encoding="utf-8"))
    user = user_find(email=EMAIL) or user_create(email=EMAIL, password=secrets.token_urlsafe(), name="Demo user")
    organization = _organization(user)
    _import_bill(organization, user, tell)
    workload = _workload(organization, user, case, tell)
    decision = _decision(organization, user, workload, case, tell)
    return Example(user, organization, workload, decision)


def _organization(user: User) -> Organization:
    mine = membership_list(user=user).filter(organization__name=ORGANIZATION).first()
    return mine.organization if mine else organization_create(name=ORGANIZATION, admin=user)


def _import_bill(organization: Organization, user: User, tell: Tell) -> None:
    upload = upload_create(
        organization=organization, actor=user, file_name=BILL.name, content=BILL.read_bytes()
    )  # read and checked as if somebody had dropped it on the page
    preview = upload_preview(upload=upload)
    if preview.same_file or not preview.plan.changes_something:
        upload_discard(upload=upload)
        tell(f"Bill: {BILL.name} is imported already.")
        return
    stored = import_commit(upload=upload, actor=user)
    tell(f"Bill: {BILL.name}, {stored.rows_added} months imported.")


def _workload(organization: Organization, user: User, case: dict[str, Any], tell: Tell) -> Workload:
    """Volume, cached share and growth from the bill, lengths and burstiness from the trace, the rest on our word."""
    found = workload_list(organization=organization).filter(name=WORKLOAD).first()
    if found is None:
        provider, model = _today(case)
        found = workload_derive_from_spend(
            organization=organization, actor=user, name=WORKLOAD, provider=provider, model=model
        )
        found = workload_apply_trace(workload=found, actor=user, file_name=TRACE.name, content=TRACE.read_bytes())
        peak = PeakToMean(**case["workload"]["hourly_shape"])
        gate = QualityGate(**case["constraints"]["min_quality"])
        figures: dict[str, Any] = {"hourly_shape": peak, "quality_gate": gate, **case["slo"]}
        found = workload_update(
            workload=found,
            actor=user,
            name=WORKLOAD,
            figures={name: assumed(value, ON_OUR_WORD) for name, value in figures.items()},
        )
    profile = found.profile
    tell(
        f"Workload: {found.name}, {profile.requests_per_month.value / 1e6:.3g} million requests a month of"
        f" {profile.input_tokens.value:,.0f} tokens in and {profile.output_tokens.value:,.0f} out."
    )
    return found


def _decision(organization: Organization, user: User, workload: Workload, case: dict[str, Any], tell: Tell) -> Decision:
    """Today's API as the bill shows it, and the other options of the example's case."""
    found = decision_list(organization=organization).filter(name=case["name"]).first()
    if found is None:
        as_of = date.fromisoformat(case["as_of"])
        draft = decision_draft(workload=workload, api=_today(case), prices=None, as_of=as_of, source=ON_OUR_WORD)
        found = decision_create(
            organization=organization,
            actor=user,
            name=case["name"],
            workload=workload,
            as_of=as_of,
            today=draft.today,
            options=[option_written(option) for option in case["options"] if not option.get("baseline")],
        )
    tell(f"Decision: {found.name}, prices as of {found.case['as_of']}.")
    return found


def option_written(option: dict[str, Any]) -> WrittenOption:
    """An option of a case's file; the decision gives it an id of its own."""
    return WrittenOption({key: value for key, value in option.items() if key != "id"})


def _today(case: dict[str, Any]) -> tuple[str, str]:
    """Provider and model of the API in use."""
    baseline = next(option for option in case["options"] if option.get("baseline"))
    return baseline["provider"], baseline["model"]
